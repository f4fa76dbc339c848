//! What is said outside the picture: a line each second where there is no terminal, and the end.

use tidegate_tests::terminal::grouped;

use crate::crowd::{Variant, USERS};
use crate::discovery;
use crate::frame;
use crate::history::words;
use crate::panel::{self, ROWS};
use crate::routing;
use crate::script::{Mood, CANARY, CHECKOUT};
use crate::text::{Ink, Line};
use crate::view::{CatalogView, CheckoutView, ClientView, View};

/// How much of what happened has been said.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Said {
    changes: u64,
    events: usize,
    acts: usize,
}

/// What the lines of [`second`] mean.
pub(crate) fn opening(view: &View) -> Vec<Line> {
    let start = format!("Envoy with {} workers at {}.", view.workers, view.addr);
    let lines = [
        start.as_str(),
        "Each second, what was admitted + what was refused, for each client of the rate limits;",
        "how the service behind the breaker is, and who answered its clients;",
        "how the canary behind the routing is, what it weighs, and how many requests it got;",
        "and how the endpoints behind the discovery are, and how many requests each of them got.",
    ];
    lines.map(|line| Line::new(Ink::Plain, line)).into()
}

/// What each client got in the last whole second.
pub(crate) fn second(view: &View) -> [Line; 4] {
    let now = view.elapsed.as_secs();
    let start = Line::new(Ink::Plain, format!("{now:>5} s"));
    let clients = view.clients.iter().fold(start, |line, client| {
        let second = client.tally.second(now.saturating_sub(1));
        let text = format!("{}+{}", second.admitted, second.refused);
        line.and(Ink::Plain, format!("  {} {text:<6}", client.name))
    });
    let CheckoutView { till, history, .. } = &view.checkout;
    let (mood, state) = (CHECKOUT.at(view.elapsed).words(), words(history.state()));
    let start = Line::new(Ink::Plain, format!("{:>7}  checkout {mood}, breaker {state}:", ""));
    let served = ROWS.iter().map(|(served, name, _)| (till.last_second(view.elapsed, *served), name));
    let checkout = served.enumerate().fold(start, |line, (at, (count, name))| {
        line.and(Ink::Plain, format!("{} {count} {name}", if at == 0 { "" } else { "," }))
    });
    [clients, checkout, variants(view), discovery::second(view)]
}

/// What the variants of the catalog got in the last whole second.
fn variants(view: &View) -> Line {
    let CatalogView { census, weights, ramp, .. } = &view.catalog;
    let [canary, stable] = census.last_second(view.elapsed);
    let mood = CANARY.at(view.elapsed).words();
    let weight = weights[Variant::Canary as usize];
    let failed = canary.failed + stable.failed;
    let how = format!("{mood} and weighs {weight}; {}", routing::state(ramp));
    let got = format!("{} by it, {} by stable, {failed} failed", canary.all, stable.all);
    Line::new(Ink::Plain, format!("{:>7}  the canary of catalog {how}: {got}", ""))
}

/// The changes of state, the events of the ramp and the acts beyond those that were `said`.
pub(crate) fn news(view: &View, said: Said) -> Vec<Line> {
    let changes = view.checkout.history.since(said.changes).iter().map(panel::change);
    let events = view.catalog.ramp.since(said.events).iter().map(routing::event);
    let acts = view.discovery.ledger.effects.iter().skip(said.acts).map(discovery::act);
    changes.chain(events).chain(acts).collect()
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
    lines.push(Line::default());
    lines.extend(verdict(view));
    lines.push(Line::default());
    lines.extend(checkout(view));
    lines.push(Line::default());
    lines.extend(catalog(&view.catalog));
    lines.push(Line::default());
    lines.extend(discovery::summary(view));
    lines
}

// === impl Said ===

impl Said {
    /// All that has happened by now.
    pub(crate) fn all(view: &View) -> Self {
        let (changes, events) = (view.checkout.history.count, view.catalog.ramp.events.len());
        Self { changes, events, acts: view.discovery.ledger.effects.len() }
    }
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
    let start = Line::new(Ink::Plain, format!(" The breaker of checkout {text}; it is "));
    let (ink, state) = (panel::of_state(history.state()).0, words(history.state()));
    let mut lines = vec![start.and(ink, state).and(Ink::Plain, ".")];
    let trouble = [Mood::Fails, Mood::Slow].map(|mood| (mood, CHECKOUT.lasted(mood, view.elapsed)));
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

/// How the ramp of the canary went, and who noticed.
fn catalog(catalog: &CatalogView) -> Vec<Line> {
    let CatalogView { census, ramp, since, .. } = catalog;
    let plain = |text: String| Line::new(Ink::Plain, text);
    let took = format!(" The canary of catalog took {} % of the users", list(&ramp.weights()));
    let (had, (stayed, noticed)) = (census.ventured(), census.stayed());
    let others = match noticed {
        0 => format!("none of the {stayed} others noticed."),
        noticed => format!("{noticed} of the {stayed} others met a failure."),
    };
    let mut lines = match ramp.aborted() {
        None => vec![
            plain(format!("{took}; {}.", routing::state(ramp))),
            plain(format!(" It had {had} of {USERS} users; {others}")),
        ],
        Some(event) => {
            let of = census.total[Variant::Canary as usize];
            let (failed, all) = (grouped(of.failed), grouped(of.all));
            let aborted = plain(" Its ramp was ".to_owned()).and(Ink::Refused, "aborted");
            let why = format!(" at {:.1} s: {} ({failed} of its {all}).", event.at.as_secs_f64(), event.why);
            vec![
                plain(format!("{took}, until it failed.")),
                aborted.and(Ink::Plain, why),
                plain(format!(" {} of the {had} users it had moved back; {others}", census.returned())),
            ]
        }
    };
    let odd =
        [(census.strayed() as u64, "users changed sides again"), (census.lost, "requests had no answer")];
    let odd = odd.into_iter().filter(|(count, _)| *count > 0);
    lines.extend(odd.map(|(count, what)| Line::new(Ink::Refused, format!(" {} {what}.", grouped(count)))));
    lines.extend(since.map(|since| {
        let (all, canary) = (grouped(since.stable + since.canary), grouped(since.canary));
        plain(format!(" Since then, {canary} of {all} requests reached the canary."))
    }));
    lines
}

/// Numbers as in a sentence: `10, 25, then 50`.
fn list(numbers: &[u64]) -> String {
    let words: Vec<String> = numbers.iter().map(u64::to_string).collect();
    match &words[..] {
        [] => "0".to_owned(),
        [one] => one.clone(),
        [first @ .., last] => format!("{}, then {last}", first.join(", ")),
    }
}

fn verdict(view: &View) -> [Line; 2] {
    let (admitted, answered) = (grouped(view.admitted()), grouped(view.answered));
    let reached = format!(" The clients had {admitted} requests admitted; {answered} reached the upstream.");
    let held = if view.holds() {
        Line::new(Ink::Plain, " No limit was exceeded.")
    } else {
        Line::new(Ink::Refused, " A limit was exceeded.")
    };
    [Line::new(Ink::Plain, reached), held]
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
            "         the canary of catalog is well and weighs 25; aborted, all on stable: 0 by it, 2 by stable, 0 failed",
        ];
        assert_eq!(shown(&second(&view())[..3], 200), expected);
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
        let end =
            [" The clients had 9 requests admitted; 9 reached the upstream.", " No limit was exceeded."];
        assert!(lines.windows(2).any(|pair| pair == end), "{lines:?}");
    }

    #[test]
    fn the_end_tells_what_the_breaker_was_worth() {
        let mut view = view();
        view.elapsed = Duration::from_millis(6_500);
        let lines = shown(&checkout(&view), 100);
        assert_eq!(
            lines,
            [
                " The breaker of checkout opened once and let 1,000 probes pass; it is half-open.",
                " While it failed, 2.5 s in all, 1 of 2 requests reached it.",
                " Of 8 requests, it answered 6 and its backup 1; 1 failed, 0 were refused.",
            ]
        );
    }

    #[test]
    fn the_end_tells_what_became_of_the_canary() {
        let mut view = view();
        let end = |view: &View| shown(&catalog(&view.catalog), 120);
        assert_eq!(
            end(&view),
            [
                " The canary of catalog took 10, then 25 % of the users, until it failed.",
                " Its ramp was aborted at 7.0 s: too many requests failed (1 of its 3).",
                " 2 of the 2 users it had moved back; none of the 2 others noticed.",
                " Since then, 0 of 2 requests reached the canary.",
            ]
        );
        view.catalog.ramp.events.truncate(2);
        view.catalog.since = None;
        view.catalog.census.lost = 3;
        assert_eq!(
            end(&view),
            [
                " The canary of catalog took 10, then 25 % of the users; the ramp goes on.",
                " It had 2 of 200 users; none of the 2 others noticed.",
                " 3 requests had no answer.",
            ]
        );
    }

    #[test]
    fn numbers_are_listed_as_in_a_sentence() {
        let lists: [&[u64]; 4] = [&[], &[10], &[10, 25], &[10, 25, 50]];
        assert_eq!(lists.map(list), ["0", "10", "10, then 25", "10, 25, then 50"]);
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
