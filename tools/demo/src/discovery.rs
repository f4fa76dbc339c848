//! The part of the picture about the discovery: the endpoints of `orders`, what share of the requests
//! each of them gets, and what happens to them. The end of the time axis is the other panels'.

use std::iter;
use std::time::Duration;

use tidegate_tests::terminal::grouped;

use crate::buyers::{Effect, Split};
use crate::frame::Form;
use crate::orders::{Seat, State};
use crate::panel::{header, strip, times};
use crate::plot::{Registry, Turn};
use crate::text::{bar, bars, Ink, Line};
use crate::view::{DiscoveryView, View};

/// Columns before the bars.
const LEFT: usize = 47;
/// What is shown of the acts at the end.
const LAST: usize = 8;

/// The panel, with room for so many of the latest acts.
pub(crate) fn discovery(view: &View, width: usize, form: Form, room: usize) -> Vec<Line> {
    let (discovery, columns) = (&view.discovery, width.saturating_sub(LEFT).clamp(8, 120));
    let what = format!("discovery: {}", discovery.registry.name());
    let span = (columns - wide(columns) - 1) / 2;
    let titles = format!(" {what:<17} {:<4} {:>6} {:<8}  share, last {span} s", "zone", "weight", "state");
    let failed = grouped(discovery.ledger.failed);
    let whole = format!("{}/{} healthy, {failed} failed", discovery.healthy, discovery.known);
    let mut lines = vec![header(&titles, &whole, width, form)];
    let last = discovery.ledger.last_second(view.elapsed);
    lines.extend((0..).zip(&discovery.seats).map(|(at, seat)| row((at, seat), last, view, columns)));
    if form == Form::Full {
        lines.push(Line::new(Ink::Dim, counted(discovery, view.elapsed)));
    }
    let effects = &discovery.ledger.effects;
    lines.extend(effects.iter().skip(effects.len().saturating_sub(room)).map(effect));
    lines.extend(iter::repeat_with(Line::default).take(room.saturating_sub(effects.len())));
    lines
}

/// One endpoint: how it is, its share of the last second as a bar, and its shares before.
fn row((at, seat): (usize, &Seat), last: Split, view: &View, columns: usize) -> Line {
    let (ink, sum) = (of_state(seat.state), last.iter().sum::<u64>());
    let share = (last[at] * 100 + sum / 2).checked_div(sum).unwrap_or(0);
    let weight = if seat.state == State::Absent { "-".to_owned() } else { seat.weight.to_string() };
    let (wide, shares) = (wide(columns), Ink::Admitted);
    let start = Line::new(Ink::Name, format!(" {} ", at + 1))
        .and(Ink::Plain, format!("{:<15} {:<4} {weight:>6} ", seat.addr.to_string(), seat.zone))
        .and(ink, format!("{:<8} ", seat.state.word()))
        .and(if last[at] == 0 { Ink::Dim } else { Ink::Plain }, format!("{share:>4} % "))
        .and(shares, format!("{} ", bar(last[at], sum, wide)));
    let mut latest = view.discovery.ledger.latest(view.elapsed, columns - wide - 1);
    if let [.., Some(before), Some(now)] = &mut latest[..] {
        // A tick that has just begun says little about shares.
        if now.iter().sum::<u64>() * 2 < before.iter().sum() {
            *now = *before;
        }
    }
    let column = |split: Split| {
        let bar = bars(iter::once(Some(split[at])), split.iter().sum());
        (shares, bar.chars().next().unwrap_or(' '))
    };
    strip(start, latest.into_iter().map(|tick| tick.map(column)))
}

/// Columns of the bar, of those that it shares with what was before.
fn wide(columns: usize) -> usize {
    columns / 3
}

/// What the filter did, in numbers.
fn counted(discovery: &DiscoveryView, now: Duration) -> String {
    let DiscoveryView { ledger, registry, fetches, ejections, retries, .. } = discovery;
    let (rate, total) = (ledger.per_second(now), grouped(ledger.sum()));
    let asked = match registry {
        Registry::Consul => format!(", Consul asked {}", times(*fetches)),
        Registry::Static => String::new(),
    };
    let (again, ejected) = (grouped(*retries), ejected(*ejections, ", "));
    format!(" {rate:.1}/s, {total} in all; {again} tried again elsewhere{ejected}{asked}")
}

/// How often it ejected an endpoint, with these words before it; nothing when it did not.
fn ejected(ejections: u64, before: &str) -> String {
    match ejections {
        0 => String::new(),
        n => format!("{before}ejected {}", times(n)),
    }
}

fn of_state(state: State) -> Ink {
    match state {
        State::Absent | State::Gone => Ink::Dim,
        State::Critical | State::Ejected | State::Refusing => Ink::Unsure,
        State::Dead => Ink::Refused,
        State::New | State::Well => Ink::Admitted,
    }
}

/// An act, without what came of it.
pub(crate) fn act(effect: &Effect) -> Line {
    let start = Line::new(Ink::Dim, format!(" {:>5.1} s  ", effect.at.as_secs_f64()));
    let ink = match effect.act.turn() {
        Turn::Comes => Ink::Admitted,
        Turn::Goes => Ink::Refused,
        Turn::Shifts => Ink::Plain,
    };
    start.and(ink, effect.act.words())
}

/// An act, and what came of it.
fn effect(effect: &Effect) -> Line {
    let ms = effect.after.map(|after| grouped(u64::try_from(after.as_millis()).unwrap_or(u64::MAX)));
    let came = match (effect.act.turn(), ms) {
        (Turn::Shifts, _) => return act(effect),
        (Turn::Comes, Some(ms)) => format!(": first answer {ms} ms later"),
        (Turn::Comes, None) => ": no answer yet".to_owned(),
        (Turn::Goes, Some(ms)) => format!(": last answer {ms} ms later"),
        (Turn::Goes, None) => ": no answer since".to_owned(),
    };
    act(effect).and(Ink::Dim, came)
}

/// How the endpoints are, and what each of them answered in the last second.
pub(crate) fn second(view: &View) -> Line {
    let DiscoveryView { ledger, seats, registry, .. } = &view.discovery;
    let start = format!("{:>7}  orders by {}:", "", registry.name());
    let last = ledger.last_second(view.elapsed);
    let seats = seats.iter().zip(last).zip(1..);
    let line = seats.fold(start, |line, ((seat, count), number)| {
        let comma = if number == 1 { "" } else { "," };
        let weight = if seat.weight == 1 { String::new() } else { format!(" with weight {}", seat.weight) };
        format!("{line}{comma} {count} by endpoint {number}{weight} ({})", seat.state.word())
    });
    Line::new(Ink::Plain, format!("{line}; {} failed so far", grouped(ledger.failed)))
}

/// The end: what happened to the endpoints, and who noticed.
pub(crate) fn summary(view: &View) -> Vec<Line> {
    let DiscoveryView { ledger, registry, fetches, ejections, retries, .. } = &view.discovery;
    let from = match registry {
        Registry::Consul => format!("from Consul, which was asked {}", times(*fetches)),
        Registry::Static => "from the configuration".to_owned(),
    };
    let mut lines = vec![Line::new(Ink::Plain, format!(" The endpoints of orders are {from}."))];
    let effects = &ledger.effects;
    lines.extend(effects.iter().skip(effects.len().saturating_sub(LAST)).map(effect));
    let [one, two, three] = ledger.total.map(grouped);
    let answered = format!("their endpoints answered {one}, {two} and {three}");
    let ink = if ledger.failed == 0 { Ink::Plain } else { Ink::Refused };
    lines.push(
        Line::new(Ink::Plain, format!(" Of {} requests, {answered}; ", grouped(ledger.sum())))
            .and(ink, format!("{} failed.", grouped(ledger.failed))),
    );
    let (again, ejected) = (grouped(*retries), ejected(*ejections, "; an endpoint was "));
    let again = format!(" Attempts made again elsewhere: {again}{ejected}.");
    lines.push(Line::new(Ink::Plain, again));
    lines
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::frame::tests::{shown, view};

    #[test]
    fn a_panel_shows_who_gets_what() {
        assert_eq!(
            shown(&discovery(&view(), 79, Form::Full, 3), 79),
            [
                " discovery: consul zone weight state     share, last 10 s 2/3 healthy, 0 failed",
                " 1 127.0.0.1:40001 a         3 healthy    33 % ███▍                    ▄▄▄▄  ▄▄",
                " 2 127.0.0.1:40002 a         1 ejected    33 % ███▍                    ▄▄▄▄ ▄▂▂",
                " 3 127.0.0.1:40003 b         1 new        33 % ███▍                        █▄▂▂",
                " 4.5/s, 15 in all; 5 tried again elsewhere, ejected once, Consul asked 4 times",
                "   2.0 s  endpoint 3 is registered: first answer 40 ms later",
                "   3.0 s  the server of endpoint 2 dies: last answer 2 ms later",
                "",
            ]
        );
    }

    #[test]
    fn a_small_panel_keeps_its_room() {
        let mut view = view();
        view.discovery.ledger.effects.clear();
        view.discovery.seats[2].state = State::Absent;
        let lines = shown(&discovery(&view, 79, Form::Small, 1), 79);
        assert_eq!(
            lines[3],
            " 3 127.0.0.1:40003 b         - -          33 % ███▍                        █▄▂▂"
        );
        assert_eq!(lines[4..], [""]);
    }

    #[test]
    fn an_act_says_what_came_of_it() {
        let mut view = view();
        let effects = &mut view.discovery.ledger.effects;
        effects[0].after = None;
        effects[1].after = None;
        let lines = shown(&discovery(&view, 79, Form::Small, 2), 79);
        let came = [
            "   2.0 s  endpoint 3 is registered: no answer yet",
            "   3.0 s  the server of endpoint 2 dies: no answer since",
        ];
        assert_eq!(lines[4..], came);
    }

    #[test]
    fn a_second_tells_of_each_endpoint() {
        let expected = "         orders by consul: 2 by endpoint 1 with weight 3 (healthy), 2 by endpoint 2 (ejected), 2 by endpoint 3 (new); 0 failed so far";
        assert_eq!(shown(&[second(&view())], 200), [expected]);
    }

    #[test]
    fn the_end_tells_what_happened_and_who_noticed() {
        let mut view = view();
        assert_eq!(
            shown(&summary(&view), 100),
            [
                " The endpoints of orders are from Consul, which was asked 4 times.",
                "   2.0 s  endpoint 3 is registered: first answer 40 ms later",
                "   3.0 s  the server of endpoint 2 dies: last answer 2 ms later",
                " Of 15 requests, their endpoints answered 6, 6 and 3; 0 failed.",
                " Attempts made again elsewhere: 5; an endpoint was ejected once.",
            ]
        );
        view.discovery.registry = Registry::Static;
        view.discovery.ledger.failed = 2;
        let lines = shown(&summary(&view), 100);
        assert_eq!(lines[0], " The endpoints of orders are from the configuration.");
        assert!(lines[3].ends_with("; 2 failed."), "{lines:?}");
    }
}
