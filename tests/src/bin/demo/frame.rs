//! The picture: from the numbers of one moment to lines of text.
//!
//! A client takes two lines, what was admitted and below it what was refused, with bars of one
//! scale. Words say what colours say, so that it reads the same without them. What does not fit
//! goes: first the air between clients, then their second lines, then what stands at the right and
//! at the bottom.

use tidegate_tests::terminal::grouped;

use crate::checkout::PATH;
use crate::panel::{self, panel};
use crate::tally::{Second, Tally};
use crate::text::{bars, Ink, Line};
use crate::view::{ClientView, LimitView, View, COUNTS};

/// Columns before the bars.
const LEFT: usize = 65;
/// The same where a client has one line.
const LEFT_OF_ONE: usize = 56;
/// Changes of state that are shown at least, and at most.
const LEAST_CHANGES: usize = 2;
const MOST_CHANGES: usize = 8;

/// The live picture for a terminal of this size.
pub(crate) fn frame(view: &View, width: usize, height: usize) -> Vec<Line> {
    let limits = limits(&view.limits);
    let below = limits.len() + 1 + panel::HEIGHT + LEAST_CHANGES;
    let fits = |lines: &Vec<Line>| lines.len() + below <= height;
    let large = [true, false].into_iter().map(|airy| two_each(view, width, airy)).find(fits);
    let mut lines = large.unwrap_or_else(|| one_each(view, width));
    lines.extend(limits);
    lines.push(Line::default());
    let room = height.saturating_sub(lines.len() + panel::HEIGHT).min(MOST_CHANGES);
    lines.extend(panel(view, width, room));
    lines.truncate(height);
    lines
}

/// The head, and two lines for each client, with or without air between them.
fn two_each(view: &View, width: usize, airy: bool) -> Vec<Line> {
    let mut lines = head(view, width);
    let seconds = width.saturating_sub(LEFT).clamp(8, 60);
    let titles = format!(" {:<9}{:<26}{:>18}{:>9}  the last {seconds} s", "client", "", "a second", "total");
    lines.push(Line::new(Ink::Dim, titles));
    for client in &view.clients {
        lines.extend(pair(client, view, seconds));
        if airy {
            lines.push(Line::default());
        }
    }
    if !airy {
        lines.push(Line::default());
    }
    lines
}

/// A head of one line, and one line for each client.
fn one_each(view: &View, width: usize) -> Vec<Line> {
    let mut lines = vec![title(&format!("http://{}/api, {PATH}", view.addr), view, width)];
    let seconds = width.saturating_sub(LEFT_OF_ONE).clamp(8, 60);
    let titles = format!(" {:<9}{:<26}{:>9}{:>9}", "client", "a second:", "admitted", "refused");
    lines.push(Line::new(Ink::Dim, format!("{titles}  admitted, {seconds} s")));
    lines.extend(view.clients.iter().map(|client| {
        let (admitted, refused) = client.tally.per_second(view.elapsed);
        let latest = client.tally.latest(view.elapsed, seconds);
        let most = latest.iter().flatten().map(|second| second.admitted).max().unwrap_or(0);
        let chart = bars(latest.iter().map(|second| second.map(|second| second.admitted)), most);
        Line::new(Ink::Name, format!(" {:<9}", client.name))
            .and(Ink::Plain, format!("{:<26}", client.habit))
            .and(Ink::Admitted, format!("{admitted:>9.1}"))
            .and(refused_ink(&client.tally), format!("{refused:>9.1}  "))
            .and(Ink::Admitted, chart)
    }));
    lines.push(Line::default());
    lines
}

/// What the demo is, how long it lasts, and how to take part.
fn head(view: &View, width: usize) -> Vec<Line> {
    let served = format!(
        " Envoy with {} workers at {}; the upstream answered {}",
        view.workers,
        view.addr,
        grouped(view.answered)
    );
    vec![
        title("rate limits and a circuit breaker in Envoy", view, width),
        Line::new(Ink::Dim, served),
        Line::new(Ink::Dim, " Join in:  ").and(Ink::Plain, curl(view)),
        Line::default(),
    ]
}

fn title(what: &str, view: &View, width: usize) -> Line {
    let elapsed = view.elapsed.as_secs();
    let until = match view.length {
        Some(length) => format!("{elapsed} s of {length} s, Ctrl-C ends it "),
        None => format!("{elapsed} s, Ctrl-C ends it "),
    };
    Line::new(Ink::Title, " Tidegate").and(Ink::Plain, format!("  {what}")).flush(Ink::Dim, &until, width)
}

fn curl(view: &View) -> String {
    format!("curl -i -H 'x-api-key: me' http://{}/api  or  {PATH}", view.addr)
}

/// The two lines of a client.
fn pair(client: &ClientView, view: &View, seconds: usize) -> [Line; 2] {
    let tally = &client.tally;
    let latest = tally.latest(view.elapsed, seconds);
    let most = latest.iter().flatten().map(|s| s.admitted.max(s.refused)).max().unwrap_or(0);
    let chart =
        |of: fn(&Second) -> u64| format!("  {}", bars(latest.iter().map(|s| s.as_ref().map(of)), most));
    let (admitted, refused) = tally.per_second(view.elapsed);
    [
        Line::new(Ink::Name, format!(" {:<9}", client.name))
            .and(Ink::Plain, format!("{:<26}", client.habit))
            .and(Ink::Admitted, figures("admitted", admitted, tally.total.admitted))
            .and(Ink::Admitted, chart(|second| second.admitted)),
        Line::new(Ink::Dim, format!(" {:<9}{:<26}", "", advice(tally)))
            .and(refused_ink(tally), figures("refused", refused, tally.total.refused))
            .and(Ink::Refused, chart(|second| second.refused)),
    ]
}

fn refused_ink(tally: &Tally) -> Ink {
    if tally.total.refused == 0 {
        Ink::Dim
    } else {
        Ink::Refused
    }
}

fn figures(word: &str, rate: f64, total: u64) -> String {
    format!("{word:<9}{rate:>9.1}{:>9}", grouped(total))
}

/// What the client was last told.
fn advice(tally: &Tally) -> String {
    match (tally.unanswered, tally.wait) {
        (0, None) => String::new(),
        (0, Some(wait)) => format!("retry-after: {wait}"),
        (lost, _) => format!("{} unanswered", grouped(lost)),
    }
}

/// The table of the limits, as the filter counts.
pub(crate) fn limits(limits: &[LimitView]) -> Vec<Line> {
    const WIDTHS: [usize; COUNTS.len()] = [9, 10, 9, 7, 8];
    let columns = || COUNTS.into_iter().zip(WIDTHS);
    let titles: String = columns().map(|(what, width)| format!("{what:>width$}")).collect();
    let mut lines = vec![Line::new(Ink::Dim, format!(" {:<12}{:<23}{titles}", "limit", "allows one key"))];
    lines.extend(limits.iter().map(|limit| {
        let start = Line::new(Ink::Plain, format!(" {:<12}", limit.name));
        let start = start.and(Ink::Dim, format!("{:<23}", limit.rule));
        columns().zip(limit.counts).fold(start, |line, ((what, width), count)| {
            let ink = match what {
                _ if count == 0 => Ink::Dim,
                "admitted" => Ink::Admitted,
                "refused" => Ink::Refused,
                _ => Ink::Plain,
            };
            line.and(ink, format!("{:>width$}", grouped(count)))
        })
    }));
    lines
}

#[cfg(test)]
pub(crate) mod tests {
    use std::time::Duration;

    use super::*;
    use crate::history::tests::history;
    use crate::script::Mood;
    use crate::shop::{Served, Till};
    use crate::tally::Outcome;
    use crate::view::CheckoutView;

    /// bob after three seconds: a burst of four, then two a second, and one refusal a second.
    pub(crate) fn view() -> View {
        let mut tally = Tally::default();
        let outcomes = [(0, 4), (1, 2), (2, 2), (3, 1)];
        for (second, admitted) in outcomes {
            for _ in 0..admitted {
                tally.record(Duration::from_secs(second), Outcome::Admitted);
            }
            tally.record(Duration::from_secs(second), Outcome::Refused(Some(1)));
        }
        let client =
            ClientView { name: "bob".into(), habit: "3 a second".into(), limit: "per-client".into(), tally };
        let limit = LimitView {
            name: "per-client".into(),
            rule: "2 a second, 4 at once".into(),
            most: 11,
            counts: [9, 1_004, 0, 1, 0],
        };
        View {
            elapsed: Duration::from_millis(3_500),
            length: Some(20),
            addr: ([127, 0, 0, 1], 10_000).into(),
            workers: 2,
            answered: 9,
            clients: vec![client],
            limits: vec![limit],
            checkout: checkout(),
        }
    }

    /// Two requests a second until 3 s; then one that failed, and one that the backup answered.
    fn checkout() -> CheckoutView {
        let mut till = Till::default();
        for number in 0..6 {
            till.record(Duration::from_millis(number * 500), Mood::Well, Served::Service);
        }
        till.record(Duration::from_millis(3_100), Mood::Fails, Served::Failed);
        till.record(Duration::from_millis(3_400), Mood::Fails, Served::Backup);
        CheckoutView { till, history: history(), probes: 1_000, reached: [1, 0, 6] }
    }

    pub(crate) fn shown(lines: &[Line], width: usize) -> Vec<String> {
        lines.iter().map(|line| line.show(width, false)).collect()
    }

    #[test]
    fn a_frame_has_everything_where_there_is_room() {
        assert_eq!(
            shown(&frame(&view(), 104, 20), 104)[..11],
            [
                " Tidegate  rate limits and a circuit breaker in Envoy                       3 s of 20 s, Ctrl-C ends it",
                " Envoy with 2 workers at 127.0.0.1:10000; the upstream answered 9",
                " Join in:  curl -i -H 'x-api-key: me' http://127.0.0.1:10000/api  or  /checkout",
                "",
                " client                                       a second    total  the last 39 s",
                " bob      3 a second                admitted       2.7        9                                     █▄▄▂",
                "          retry-after: 1            refused        1.0        4                                     ▂▂▂▂",
                "",
                " limit       allows one key          admitted   refused observed leases evicted",
                " per-client  2 a second, 4 at once          9     1,004        0      1       0",
                "",
            ]
        );
    }

    #[test]
    fn a_frame_fits_any_terminal() {
        let mut view = view();
        view.clients = vec![view.clients[0].clone(); 6];
        for (width, height) in [(200, 60), (110, 40), (80, 24), (40, 10), (1, 1), (0, 0)] {
            let lines = frame(&view, width, height);
            assert!(lines.len() <= height, "{width} x {height}");
            assert!(shown(&lines, width).iter().all(|line| line.chars().count() <= width), "{width}");
        }
    }

    #[test]
    fn a_small_terminal_has_everything_too() {
        let mut view = view();
        view.clients = vec![view.clients[0].clone(); 6];
        view.limits = vec![view.limits[0].clone(); 4];
        let small = shown(&frame(&view, 79, 24), 79);
        assert_eq!(
            small[..3],
            [
                " Tidegate  http://127.0.0.1:10000/api, /checkout   3 s of 20 s, Ctrl-C ends it",
                " client   a second:                  admitted  refused  admitted, 23 s",
                " bob      3 a second                      2.7      1.0                     █▄▄▂",
            ]
        );
        assert_eq!(small.len(), 1 + 7 + 1 + 5 + 1 + panel::HEIGHT + LEAST_CHANGES);
    }
}
