//! The picture: from the numbers of one moment to lines of text.
//!
//! A client takes two lines, what was admitted and below it what was refused, with bars of one
//! scale. Words say what colours say, so that it reads the same without them. What does not fit
//! goes: first the air between clients, then their second lines, then what panels say in more than
//! one place, then the limits, whose effect the clients show, and at last what stands at the right
//! and at the bottom.

use tidegate_tests::terminal::grouped;

use crate::catalog;
use crate::checkout;
use crate::discovery::discovery;
use crate::orders;
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
    /// As much as in 80 x 24: rules take the place of the air, and the limits go if they must.
    Small,
}

/// Columns before the bars.
const LEFT: usize = 65;
/// The same where a client has one line.
const LEFT_OF_ONE: usize = 56;
/// News that a picture has room for at least, if it is not the smallest.
const LEAST_NEWS: usize = 5;

/// What is shown of the news at most: acts upon endpoints, events of the ramp, changes of the
/// breaker's state.
#[derive(Clone, Copy, Debug, Default)]
struct Room {
    acts: usize,
    events: usize,
    changes: usize,
}

/// The live picture for a terminal of this size.
pub(crate) fn frame(view: &View, width: usize, height: usize) -> Vec<Line> {
    let limits = &limits(&view.limits)[..];
    let small = one_each(view, width, Form::Small);
    let pictures = [
        (Form::Full, two_each(view, width, true), limits),
        (Form::Full, two_each(view, width, false), limits),
        (Form::Full, one_each(view, width, Form::Full), limits),
        (Form::Small, small.clone(), limits),
    ];
    let length = |(form, top, limits): &(Form, Vec<Line>, &[Line])| {
        top.len() + body(view, width, *form, limits, Room::default()).len()
    };
    let fits = |picture: &(Form, Vec<Line>, &[Line])| length(picture) + LEAST_NEWS <= height;
    let picture = pictures.into_iter().find(fits).unwrap_or((Form::Small, small, &[]));
    let room = Room::of(height.saturating_sub(length(&picture)));
    let (form, mut lines, limits) = picture;
    lines.extend(body(view, width, form, limits, room));
    lines.truncate(height);
    lines
}

/// What stands below the clients, with room for so many news.
fn body(view: &View, width: usize, form: Form, limits: &[Line], room: Room) -> Vec<Line> {
    let mut lines = Vec::new();
    if let [titles, rows @ ..] = limits {
        match form {
            Form::Full => lines.extend([Line::default(), titles.clone()]),
            Form::Small => lines.push(titles.clone().ruled(width)),
        }
        lines.extend_from_slice(rows);
    }
    let panels = [
        discovery(view, width, form, room.acts),
        routing(view, width, form, room.events),
        panel(view, width, form, room.changes),
    ];
    for panel in panels {
        lines.extend((form == Form::Full).then(Line::default));
        lines.extend(panel);
    }
    lines
}

// === impl Room ===

impl Room {
    /// What there is in so many lines.
    fn of(lines: usize) -> Self {
        let acts = lines.div_ceil(4).min(5);
        let events = (lines - acts).div_ceil(2).min(6);
        Self { acts, events, changes: (lines - acts - events).min(8) }
    }
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
    let mut lines = vec![title(&paths(view), &until(view, form), width)];
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
        title(
            "rate limits, discovery, routing and a circuit breaker in Envoy",
            &until(view, Form::Full),
            width,
        ),
        Line::new(Ink::Dim, served),
        Line::new(Ink::Dim, " Join in:  ").and(Ink::Plain, curl(view)),
        Line::default(),
    ]
}

fn title(what: &str, until: &str, width: usize) -> Line {
    Line::new(Ink::Title, " Tidegate").and(Ink::Plain, format!("  {what}")).flush(Ink::Dim, until, width)
}

/// How long it lasts; in little room, how to end it only where it does not end by itself.
fn until(view: &View, form: Form) -> String {
    let elapsed = view.elapsed.as_secs();
    match (view.length, form) {
        (Some(length), Form::Full) => format!("{elapsed} s of {length} s, Ctrl-C ends it "),
        (Some(length), Form::Small) => format!("{elapsed} s of {length} s "),
        (None, _) => format!("{elapsed} s, Ctrl-C ends it "),
    }
}

/// Where everything is: `127.0.0.1:10000/{api,checkout,…}`.
fn paths(view: &View) -> String {
    let paths = [checkout::PATH, catalog::PATH, orders::PATH].map(|path| path.trim_start_matches('/'));
    format!("{}/{{api,{}}}", view.addr, paths.join(","))
}

fn curl(view: &View) -> String {
    format!("curl -iH x-api-key:me -H {}:me http://{}", catalog::USER, paths(view))
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
    use crate::buyers::tests::ledger;
    use crate::catalog::Reached;
    use crate::crowd::tests::census;
    use crate::history::tests::history;
    use crate::orders::{Seat, State};
    use crate::plot::Registry;
    use crate::ramp::tests::ramp;
    use crate::script::Mood;
    use crate::shop::{Served, Till};
    use crate::tally::Outcome;
    use crate::view::{CatalogView, CheckoutView, DiscoveryView};

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
            discovery: orders(),
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

    /// Two endpoints in Consul, of which one has just died, and a new one.
    fn orders() -> DiscoveryView {
        let seat =
            |port, zone, weight, state| Seat { addr: ([127, 0, 0, 1], port).into(), zone, weight, state };
        let seats = [
            seat(40_001, "a", 3, State::Well),
            seat(40_002, "a", 1, State::Ejected),
            seat(40_003, "b", 1, State::New),
        ];
        let (registry, ledger) = (Registry::Consul, ledger());
        DiscoveryView { registry, seats, ledger, known: 3, healthy: 2, fetches: 4, ejections: 1, retries: 5 }
    }

    pub(crate) fn shown(lines: &[Line], width: usize) -> Vec<String> {
        lines.iter().map(|line| line.show(width, false)).collect()
    }

    #[test]
    fn a_frame_has_everything_where_there_is_room() {
        assert_eq!(
            shown(&frame(&view(), 104, 36), 104)[..12],
            [
                " Tidegate  rate limits, discovery, routing and a circuit breaker in Envoy   3 s of 20 s, Ctrl-C ends it",
                " Envoy with 2 workers at 127.0.0.1:10000; the upstream answered 9",
                " Join in:  curl -iH x-api-key:me -H x-user:me http://127.0.0.1:10000/{api,checkout,catalog,orders}",
                "",
                " client                                       a second    total  the last 39 s",
                " bob      3 a second                admitted       2.7        9                                     █▄▄▂",
                "          retry-after: 1            refused        1.0        4                                     ▂▂▂▂",
                "",
                " limit       allows one key          admitted   refused observed leases evicted",
                " per-client  2 a second, 4 at once          9     1,004        0      1       0",
                "",
                " discovery: consul zone weight state     share, last 18 s                          2/3 healthy, 0 failed",
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
                " Tidegate  127.0.0.1:10000/{api,checkout,catalog,orders}           3 s of 20 s",
                " client ─ a second: ──────────────── admitted  refused  admitted, 23 s ────────",
                " bob      3 a second                      2.7      1.0                     █▄▄▂",
            ]
        );
        assert_eq!(small.len(), 24);
        assert!(small[8].starts_with(" discovery: consul"), "{small:?}");
        assert!(small[12].contains("the server of endpoint 2 dies"), "{small:?}");
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
            for news in ["endpoint 2 dies", "25 -> 0 of 100, aborted", "open -> half-open"] {
                assert!(lines.iter().any(|line| line.contains(news)), "{height}: {lines:?}");
            }
            let full = lines.iter().any(|line| line.starts_with("          refused "));
            assert_eq!(full, height >= 39, "{height}: {lines:?}");
            let limits = lines.iter().any(|line| line.starts_with(" limit"));
            assert_eq!(limits, height >= 30, "{height}: {lines:?}");
        }
    }
}
