//! The part of the picture about the breaker: what its service does, what it does about that, and
//! what clients get. Both strips and all bars have one time axis, so that an effect stands below
//! its cause.

use std::time::Duration;

use tidegate_policy::breaker::State;
use tidegate_tests::terminal::grouped;

use crate::frame::Form;
use crate::history::{words, Change};
use crate::script::{Mood, Script, CHECKOUT};
use crate::shop::{Served, TICK};
use crate::text::{bars, Ink, Line};
use crate::view::{CheckoutView, View};

/// Columns before the strips.
pub(crate) const LEFT: usize = 39;

/// Who answered, in words, with how it looks.
pub(crate) const ROWS: [(Served, &str, Ink); 4] = [
    (Served::Service, "answered by it", Ink::Admitted),
    (Served::Backup, "by its backup", Ink::Unsure),
    (Served::Failed, "failed", Ink::Refused),
    (Served::Refused, "refused", Ink::Refused),
];

/// The panel, with room for so many of the latest changes of state.
pub(crate) fn panel(view: &View, width: usize, form: Form, room: usize) -> Vec<Line> {
    let (checkout, columns) = (&view.checkout, width.saturating_sub(LEFT).clamp(8, 120));
    let titles = format!(" {:<20}{:>9}{:>8} ", "circuit breaker", "a second", "total");
    let titles = format!("{titles}last {} s", columns / 2);
    let did = format!("opened {}, {} probes", times(checkout.history.opened), grouped(checkout.probes));
    let mut lines = vec![
        header(&titles, &did, width, form),
        health("checkout", CHECKOUT, view.elapsed, columns),
        breaker(checkout, view.elapsed, columns),
    ];
    let rate: f64 = ROWS.iter().map(|row| checkout.till.per_second(view.elapsed, row.0)).sum();
    match form {
        Form::Full => {
            let sides = ["requests".to_owned(), format!("{rate:.1}/s"), String::new(), String::new()];
            lines.extend(ROWS.iter().zip(&sides).map(|(row, side)| figures(row, side, view, columns)));
        }
        Form::Small => lines.push(rates(checkout, rate, view.elapsed)),
    }
    let changes = &checkout.history.changes;
    lines.extend(changes.iter().skip(changes.len().saturating_sub(room)).map(change));
    lines
}

/// The line above a panel: what its columns are, and a word on the whole.
pub(crate) fn header(titles: &str, whole: &str, width: usize, form: Form) -> Line {
    let line = Line::new(Ink::Dim, titles).flush(Ink::Dim, whole, width);
    match form {
        Form::Full => line,
        Form::Small => line.ruled(width),
    }
}

/// Who answers how much, in one line.
fn rates(checkout: &CheckoutView, rate: f64, now: Duration) -> Line {
    let start = Line::new(Ink::Plain, format!(" {:<9}", format!("{rate:.1}/s")));
    ROWS.iter().enumerate().fold(start, |line, (at, (served, text, ink))| {
        let (comma, rate) = (if at == 0 { "" } else { ", " }, checkout.till.per_second(now, *served));
        let ink = if rate == 0.0 { Ink::Dim } else { *ink };
        line.and(Ink::Dim, comma).and(ink, format!("{rate:.1} {text}"))
    })
}

/// So many times, in words.
pub(crate) fn times(count: u64) -> String {
    match count {
        1 => "once".to_owned(),
        2 => "twice".to_owned(),
        count => format!("{} times", grouped(count)),
    }
}

/// What a service does, and did.
pub(crate) fn health(name: &str, script: Script, now: Duration, columns: usize) -> Line {
    let (mood, rest) = script.with_rest(now);
    let text = match mood {
        Mood::Well => mood.words().to_owned(),
        _ => format!("{}, {:.1} s more", mood.words(), rest.as_secs_f64()),
    };
    let (ink, _) = of_mood(mood);
    let start = Line::new(Ink::Name, format!(" {name:<9}")).and(ink, format!("{text:<29}"));
    let tick = |age: usize| {
        let at = now.checked_sub(TICK.saturating_mul(u32::try_from(age).unwrap_or(u32::MAX)));
        at.map(|at| of_mood(script.at(at)))
    };
    strip(start, (0..columns).rev().map(tick))
}

/// What the breaker is, and was.
fn breaker(checkout: &CheckoutView, now: Duration, columns: usize) -> Line {
    let (state, wait) = (checkout.history.state(), checkout.history.probe_in(now));
    let text = match (state, wait) {
        (State::Open, Some(wait)) => format!("open, next probe in {:.1} s", wait.as_secs_f64()),
        (State::HalfOpen, _) => "half-open, probes are out".to_owned(),
        _ => words(state).to_owned(),
    };
    let (ink, _) = of_state(state);
    let start = Line::new(Ink::Name, format!(" {:<9}", "breaker")).and(ink, format!("{text:<29}"));
    let states = checkout.history.latest(now, columns);
    strip(start, states.into_iter().map(|state| state.map(of_state)))
}

/// How many had this answer; `side` stands at the left.
fn figures((served, text, ink): &(Served, &str, Ink), side: &str, view: &View, columns: usize) -> Line {
    let till = &view.checkout.till;
    let (rate, total) = (till.per_second(view.elapsed, *served), till.total[*served as usize]);
    let latest = till.latest(view.elapsed, columns);
    let most = latest.iter().flatten().flatten().copied().max().unwrap_or(0);
    let chart = bars(latest.iter().map(|tick| tick.map(|counts| counts[*served as usize])), most);
    let ink = if total == 0 { Ink::Dim } else { *ink };
    let start = Line::new(Ink::Plain, format!(" {side:<9}"));
    start.and(ink, format!("{text:<15}{rate:>5.1}{:>8} ", grouped(total))).and(ink, chart)
}

/// One change of state: when, what and why.
pub(crate) fn change(change: &Change) -> Line {
    let start = Line::new(Ink::Dim, format!(" {:>5.1} s  ", change.at.as_secs_f64()));
    let (ink, _) = of_state(change.to);
    let start = start.and(Ink::Plain, format!("{} -> ", words(change.from)));
    start.and(ink, words(change.to)).and(Ink::Dim, format!(": {}", change.why))
}

/// Appends a column for each moment, blank where there was none.
pub(crate) fn strip(start: Line, moments: impl Iterator<Item = Option<(Ink, char)>>) -> Line {
    let moments: Vec<(Ink, char)> = moments.map(|moment| moment.unwrap_or((Ink::Plain, ' '))).collect();
    let runs = moments.chunk_by(|one, next| one.0 == next.0);
    runs.fold(start, |line, run| line.and(run[0].0, run.iter().map(|(_, column)| column).collect::<String>()))
}

fn of_mood(mood: Mood) -> (Ink, char) {
    match mood {
        Mood::Fails => (Ink::Refused, 'x'),
        Mood::Slow => (Ink::Unsure, '~'),
        Mood::Well => (Ink::Admitted, '─'),
    }
}

pub(crate) fn of_state(state: State) -> (Ink, char) {
    match state {
        State::Open => (Ink::Refused, '█'),
        State::HalfOpen => (Ink::Unsure, '▒'),
        _ => (Ink::Admitted, '─'),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::frame::tests::{shown, view};

    #[test]
    fn a_panel_shows_cause_and_effect_below_each_other() {
        let mut view = view();
        view.elapsed = Duration::from_millis(6_600);
        assert_eq!(
            shown(&panel(&view, 79, Form::Full, 1), 79),
            [
                " circuit breaker      a second   total last 20 s      opened once, 1,000 probes",
                " checkout fails with 503, 2.4 s more                             ────────xxxxxx",
                " breaker  half-open, probes are out                              ────────████▒▒",
                " requests answered by it   0.0       6                           ██████",
                " 0.0/s    by its backup    0.0       1                                 █",
                "          failed           0.0       1                                 █",
                "          refused          0.0       0",
                "   6.2 s  open -> half-open: the open time is over, 5 probes may pass",
            ]
        );
    }

    #[test]
    fn a_small_panel_says_who_answers_in_one_line() {
        let lines = shown(&panel(&view(), 79, Form::Small, 0), 79);
        assert_eq!(
            [&lines[0], &lines[3]],
            [
                " circuit breaker ──── a second ─ total last 20 s ──── opened once, 1,000 probes",
                " 2.5/s    1.5 answered by it, 0.5 by its backup, 0.5 failed, 0.0 refused",
            ]
        );
        assert_eq!(lines.len(), 4);
    }

    #[test]
    fn an_open_breaker_says_when_it_probes() {
        let mut view = view();
        view.checkout.history.changes.truncate(1);
        let line = breaker(&view.checkout, Duration::from_millis(5_000), 12);
        assert_eq!(line.show(80, false), " breaker  open, next probe in 1.2 s     ────────███");
    }

    #[test]
    fn strips_have_the_colours_of_their_moments() {
        let moments =
            [None, Some(of_mood(Mood::Well)), Some(of_mood(Mood::Fails)), Some(of_mood(Mood::Fails))];
        let line = strip(Line::default(), moments.into_iter());
        assert_eq!(line.show(9, true), " \x1b[32m─\x1b[0m\x1b[31mxx\x1b[0m");
    }
}
