//! What is said outside the picture: a line each second where there is no terminal, and the end.

use tidegate_tests::terminal::grouped;

use crate::frame;
use crate::history::words;
use crate::panel::{self, ROWS};
use crate::script::Mood;
use crate::text::{Ink, Line};
use crate::view::{CheckoutView, ClientView, View};

/// What the lines of [`second`] mean.
pub(crate) fn opening(view: &View) -> Vec<Line> {
    let start = format!("Envoy with {} workers at {}.", view.workers, view.addr);
    let lines = [
        start.as_str(),
        "Each second, what was admitted + what was refused, for each client of the rate limits;",
        "and how the service behind the breaker is, and who answered its clients.",
    ];
    lines.map(|line| Line::new(Ink::Plain, line)).into()
}

/// What each client got in the last whole second.
pub(crate) fn second(view: &View) -> [Line; 2] {
    let now = view.elapsed.as_secs();
    let start = Line::new(Ink::Plain, format!("{now:>5} s"));
    let clients = view.clients.iter().fold(start, |line, client| {
        let second = client.tally.second(now.saturating_sub(1));
        let text = format!("{}+{}", second.admitted, second.refused);
        line.and(Ink::Plain, format!("  {} {text:<6}", client.name))
    });
    let CheckoutView { till, history, .. } = &view.checkout;
    let (mood, state) = (Mood::at(view.elapsed).words(), words(history.state()));
    let start = Line::new(Ink::Plain, format!("{:>7}  checkout {mood}, breaker {state}:", ""));
    let served = ROWS.iter().map(|(served, name, _)| (till.last_second(view.elapsed, *served), name));
    let checkout = served.enumerate().fold(start, |line, (at, (count, name))| {
        line.and(Ink::Plain, format!("{} {count} {name}", if at == 0 { "" } else { "," }))
    });
    [clients, checkout]
}

/// The changes of state beyond the first `said`.
pub(crate) fn changes(view: &View, said: u64) -> Vec<Line> {
    view.checkout.history.since(said).iter().map(panel::change).collect()
}

/// The end: what each client sent and got, and what its limit allowed.
pub(crate) fn summary(view: &View) -> Vec<Line> {
    let titles = ["sent", "admitted", "refused", "unanswered"].map(|title| format!("{title:>11}")).concat();
    let mut lines = vec![
        Line::default(),
        Line::new(Ink::Title, " Tidegate").and(Ink::Plain, format!("  after {} s", view.elapsed.as_secs())),
        Line::default(),
        Line::new(Ink::Dim, format!(" {:<9}{titles}   {}", "client", "its limit allowed")),
    ];
    lines.extend(view.clients.iter().map(|client| row(client, view.most(client))));
    lines.push(Line::default());
    lines.extend(frame::limits(&view.limits));
    lines.extend([Line::default(), verdict(view), Line::default()]);
    lines.extend(checkout(view));
    lines
}

fn row(client: &ClientView, most: u64) -> Line {
    let tally = &client.tally;
    let line = Line::new(Ink::Plain, format!(" {:<9}{:>11}", client.name, grouped(tally.sent())))
        .and(Ink::Admitted, format!("{:>11}", grouped(tally.total.admitted)))
        .and(Ink::Refused, format!("{:>11}", grouped(tally.total.refused)))
        .and(Ink::Plain, format!("{:>11}", grouped(tally.unanswered)));
    let allowed = format!("   {:>5} by {}", grouped(most), client.limit);
    if tally.total.admitted > most {
        line.and(Ink::Refused, format!("{allowed}: exceeded"))
    } else {
        line.and(Ink::Dim, allowed)
    }
}

/// What the breaker did, and what that was worth.
fn checkout(view: &View) -> Vec<Line> {
    let CheckoutView { till, history, probes, reached } = &view.checkout;
    let text = format!("opened {} and let {} probes pass", panel::times(history.opened), grouped(*probes));
    let start = Line::new(Ink::Plain, format!(" The breaker of checkout {text}; now it is "));
    let (ink, state) = (panel::of_state(history.state()).0, words(history.state()));
    let mut lines = vec![start.and(ink, state).and(Ink::Plain, ".")];
    let trouble = [Mood::Fails, Mood::Slow].map(|mood| (mood, mood.lasted(view.elapsed)));
    lines.extend(trouble.iter().filter(|(_, lasted)| !lasted.is_zero()).map(|(mood, lasted)| {
        let words = if *mood == Mood::Fails { "failed" } else { "was slow" };
        let (sent, reached) = (grouped(till.sent(*mood)), grouped(reached[*mood as usize]));
        let times = format!(" While it {words}, {:.1} s in all, ", lasted.as_secs_f64());
        Line::new(Ink::Plain, format!("{times}{reached} of {sent} requests reached it."))
    }));
    let [backup, failed, refused, service] = till.total.map(grouped);
    let answered = format!(" Of {} requests, it answered {service} and its backup", grouped(till.sum()));
    lines.push(Line::new(
        Ink::Plain,
        format!("{answered} {backup}; {failed} failed, {refused} were refused."),
    ));
    lines
}

fn verdict(view: &View) -> Line {
    let (admitted, answered) = (grouped(view.admitted()), grouped(view.answered));
    let reached = format!(" The clients had {admitted} requests admitted; {answered} reached the upstream.");
    if view.holds() {
        Line::new(Ink::Plain, format!("{reached} No limit was exceeded."))
    } else {
        Line::new(Ink::Plain, reached).and(Ink::Refused, " A limit was exceeded.")
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::frame::tests::{shown, view};

    #[test]
    fn a_second_tells_of_the_one_before() {
        let expected = [
            "    3 s  bob 2+1",
            "         checkout is well, breaker half-open: 2 answered by it, 0 by its backup, 0 failed, 0 refused",
        ];
        assert_eq!(shown(&second(&view()), 200), expected);
    }

    #[test]
    fn the_end_compares_with_what_was_allowed() {
        let lines = shown(&summary(&view()), 100);
        assert_eq!(
            lines[3..5],
            [
                " client          sent   admitted    refused unanswered   its limit allowed",
                " bob               13          9          4          0      11 by per-client",
            ]
        );
        let end = " The clients had 9 requests admitted; 9 reached the upstream. No limit was exceeded.";
        assert_eq!(lines[lines.len() - 4], end);
    }

    #[test]
    fn the_end_tells_what_the_breaker_was_worth() {
        let mut view = view();
        view.elapsed = Duration::from_millis(6_500);
        let lines = shown(&summary(&view), 100);
        assert_eq!(
            lines[lines.len() - 3..],
            [
                " The breaker of checkout opened once and let 1,000 probes pass; now it is half-open.",
                " While it failed, 2.5 s in all, 1 of 2 requests reached it.",
                " Of 8 requests, it answered 6 and its backup 1; 1 failed, 0 were refused.",
            ]
        );
    }

    #[test]
    fn the_end_tells_when_a_limit_did_not_hold() {
        let mut view = view();
        view.limits[0].most = 8;
        let lines = shown(&summary(&view), 100);
        assert!(lines[4].ends_with("8 by per-client: exceeded"), "{}", lines[4]);
        assert!(lines.iter().any(|line| line.ends_with("A limit was exceeded.")));
    }
}
