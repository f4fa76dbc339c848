//! What is said outside the picture: a line each second where there is no terminal, and the end.

use tidegate_tests::terminal::grouped;

use crate::frame;
use crate::text::{Ink, Line};
use crate::view::{ClientView, View};

/// What the lines of [`second`] mean.
pub(crate) fn opening(view: &View) -> Vec<Line> {
    let start = format!("Envoy with {} workers at {}.", view.workers, view.addr);
    vec![
        Line::new(Ink::Plain, start),
        Line::new(Ink::Plain, "Each second, what was admitted + what was refused:"),
    ]
}

/// What each client got in the last whole second.
pub(crate) fn second(view: &View) -> Line {
    let now = view.elapsed.as_secs();
    let start = Line::new(Ink::Plain, format!("{now:>5} s"));
    view.clients.iter().fold(start, |line, client| {
        let second = client.tally.second(now.saturating_sub(1));
        let text = format!("{}+{}", second.admitted, second.refused);
        line.and(Ink::Plain, format!("  {} {text:<6}", client.name))
    })
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
    lines.extend([Line::default(), verdict(view)]);
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
    use super::*;
    use crate::frame::tests::{shown, view};

    #[test]
    fn a_second_tells_of_the_one_before() {
        assert_eq!(second(&view()).show(80, false), "    3 s  bob 2+1");
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
        assert_eq!(lines.last().map(String::as_str), Some(end));
    }

    #[test]
    fn the_end_tells_when_a_limit_did_not_hold() {
        let mut view = view();
        view.limits[0].most = 8;
        let lines = shown(&summary(&view), 100);
        assert!(lines[4].ends_with("8 by per-client: exceeded"), "{}", lines[4]);
        assert!(lines.last().unwrap().ends_with("A limit was exceeded."));
    }
}
