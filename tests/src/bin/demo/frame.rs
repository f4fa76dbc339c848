//! The picture: from the numbers of one moment to lines of text.
//!
//! A client takes two lines, what was admitted and below it what was refused, with bars of one
//! scale. Words say what colours say, so that it reads the same without them. What does not fit
//! goes: first the air between clients, then their second lines, then what panels say in more than
//! one place, and at last what stands at the right and at the bottom.

use tidegate_tests::terminal::grouped;

use crate::catalog;
use crate::checkout;
use crate::panel::panel;
use crate::routing::routing;
use crate::tally::{Second, Tally};
use crate::text::{bars, Ink, Line};
use crate::view::{ClientView, LimitView, View, COUNTS};

/// How much room there is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Form {
    /// Enough for everything, with air between the parts.
    Full,
    /// As much as in 80 x 24: rules take the place of the air.
    Small,
}

/// Columns before the bars.
const LEFT: usize = 65;
/// The same where a client has one line.
const LEFT_OF_ONE: usize = 56;
/// Events of the ramp and changes of the breaker's state that a full picture has room for at least.
const LEAST_NEWS: usize = 4;
/// What is shown of either at most.
const MOST_EVENTS: usize = 6;
const MOST_CHANGES: usize = 8;

/// The live picture for a terminal of this size.
pub(crate) fn frame(view: &View, width: usize, height: usize) -> Vec<Line> {
    let small = (Form::Small, one_each(view, width, Form::Small));
    let full = [two_each(view, width, true), two_each(view, width, false), one_each(view, width, Form::Full)];
    let length = |top: &[Line], form| top.len() + body(view, width, form, 0, 0).len();
    let fits = |top: &Vec<Line>| length(top, Form::Full) + LEAST_NEWS <= height;
    let (form, mut lines) = full.into_iter().find(fits).map_or(small, |top| (Form::Full, top));
    let rest = height.saturating_sub(length(&lines, form));
    let events = rest.div_ceil(2).min(MOST_EVENTS);
    let changes = (rest - events).min(MOST_CHANGES);
    lines.extend(body(view, width, form, events, changes));
    lines.truncate(height);
    lines
}

/// What stands below the clients, with room for so many events of the ramp and changes of the breaker.
fn body(view: &View, width: usize, form: Form, events: usize, changes: usize) -> Vec<Line> {
    let [titles, rows @ ..] = &limits(&view.limits)[..] else { return Vec::new() };
    let mut lines = match form {
        Form::Full => vec![Line::default(), titles.clone()],
        Form::Small => vec![titles.clone().ruled(width)],
    };
    lines.extend_from_slice(rows);
    for panel in [routing(view, width, form, events), panel(view, width, form, changes)] {
        lines.extend((form == Form::Full).then(Line::default));
        lines.extend(panel);
    }
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
    if airy {
        lines.pop();
    }
    lines
}

/// A head of one line, and one line for each client.
fn one_each(view: &View, width: usize, form: Form) -> Vec<Line> {
    let paths = [checkout::PATH, catalog::PATH].map(|path| path.trim_start_matches('/')).join(",");
    let mut lines = vec![title(&format!("{}/{{api,{paths}}}", view.addr), view, width)];
    let seconds = width.saturating_sub(LEFT_OF_ONE).clamp(8, 60);
    let titles = format!(" {:<9}{:<26}{:>9}{:>9}", "client", "a second:", "admitted", "refused");
    let titles = Line::new(Ink::Dim, format!("{titles}  admitted, {seconds} s"));
    lines.push(if form == Form::Small { titles.ruled(width) } else { titles });
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
        title("rate limits, weighted routing and a circuit breaker in Envoy", view, width),
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
    let headers = format!("-H 'x-api-key: me' -H '{}: me'", catalog::USER);
    format!("curl -i {headers} http://{}/{{api,checkout,catalog}}", view.addr)
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
    use crate::catalog::Reached;
    use crate::crowd::tests::census;
    use crate::history::tests::history;
    use crate::ramp::tests::ramp;
    use crate::script::Mood;
    use crate::shop::{Served, Till};
    use crate::tally::Outcome;
    use crate::view::{CatalogView, CheckoutView};

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
            catalog: CatalogView {
                census: census(),
                ramp: ramp(),
                weights: [25, 75],
                since: Some(Reached { stable: 2, canary: 0 }),
            },
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
            shown(&frame(&view(), 104, 29), 104)[..11],
            [
                " Tidegate  rate limits, weighted routing and a circuit breaker in Envoy     3 s of 20 s, Ctrl-C ends it",
                " Envoy with 2 workers at 127.0.0.1:10000; the upstream answered 9",
                " Join in:  curl -i -H 'x-api-key: me' -H 'x-user: me' http://127.0.0.1:10000/{api,checkout,catalog}",
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
                " Tidegate  127.0.0.1:10000/{api,checkout,catalog}  3 s of 20 s, Ctrl-C ends it",
                " client ─ a second: ──────────────── admitted  refused  admitted, 23 s ────────",
                " bob      3 a second                      2.7      1.0                     █▄▄▂",
            ]
        );
        assert_eq!(small.len(), 24);
        assert!(small[18].contains("25 -> 0 of 100, aborted"), "{small:?}");
        assert!(small[19].starts_with(" circuit breaker"), "{small:?}");
        assert!(small[23].contains("open -> half-open"), "{small:?}");
    }

    #[test]
    fn a_taller_terminal_has_more_news_and_then_more_of_everything() {
        let mut view = view();
        view.clients = vec![view.clients[0].clone(); 6];
        view.limits = vec![view.limits[0].clone(); 4];
        for height in 24..60 {
            let lines = shown(&frame(&view, 79, height), 79);
            for news in ["25 -> 0 of 100, aborted", "open -> half-open"] {
                assert!(lines.iter().any(|line| line.contains(news)), "{height}: {lines:?}");
            }
            let full = lines.iter().any(|line| line.starts_with("          refused "));
            assert_eq!(full, height >= 32, "{height}: {lines:?}");
        }
    }
}
