//! The part of the picture about the routing: how the canary is, what share of the requests the ramp
//! gives it and what it gets, and what the ramp did about that. The time axis is the breaker's.

use tidegate_tests::terminal::grouped;

use crate::crowd::{Both, Variant};
use crate::frame::Form;
use crate::panel::{header, health, strip, LEFT};
use crate::ramp::{Event, Kind, Ramp};
use crate::script::CANARY;
use crate::shop::tick;
use crate::text::{bars, Ink, Line};
use crate::view::{CatalogView, View};

/// The panel, with room for so many of the latest events.
pub(crate) fn routing(view: &View, width: usize, form: Form, room: usize) -> Vec<Line> {
    let (catalog, columns) = (&view.catalog, width.saturating_sub(LEFT).clamp(8, 120));
    let titles = format!(
        " {:<9}{:>6}{:>8}{:>6}{:>8} last {} s",
        "routing",
        "weight",
        "share",
        "/s",
        "total",
        columns / 2
    );
    let mut lines = vec![
        header(&titles, state(&catalog.ramp), width, form),
        health("canary", CANARY, view.elapsed, columns),
        row(Variant::Stable, view, columns),
        row(Variant::Canary, view, columns),
    ];
    if form == Form::Full {
        lines.push(failures(view, columns));
    }
    let events = &catalog.ramp.events;
    lines.extend(events.iter().skip(events.len().saturating_sub(room)).map(event));
    lines.extend(std::iter::repeat_with(Line::default).take(room.saturating_sub(events.len())));
    lines
}

/// Where the ramp is, in words.
pub(crate) fn state(ramp: &Ramp) -> &'static str {
    match ramp.events.last().map(|event| event.kind) {
        Some(Kind::Aborted) => "aborted, all on stable",
        Some(Kind::Halted) => "the ramp is held",
        Some(Kind::Promoted) => "promoted",
        Some(Kind::Advanced | Kind::Began) => "the ramp goes on",
        None => "no ramp yet",
    }
}

/// What a variant weighs and gets, with a chart of its share.
fn row(variant: Variant, view: &View, columns: usize) -> Line {
    let CatalogView { census, weights, ramp, .. } = &view.catalog;
    // From the last step on, so that a share is compared with the weight that made it.
    let moved = ramp.moved();
    let rates =
        [Variant::Canary, Variant::Stable].map(|variant| census.per_second(view.elapsed, moved, variant));
    let (at, sum) = (variant as usize, rates[0] + rates[1]);
    let known = sum > 0.0 && tick(view.elapsed) > tick(moved) + 1;
    let share = if known { format!("{:.1} %", rates[at] / sum * 100.0) } else { "-".to_owned() };
    let total = grouped(census.total[at].all);
    let text = format!("{:>6}{share:>8}{:>6.1}{total:>8} ", weights[at], rates[at]);
    let ink = if weights[at] == 0 { Ink::Dim } else { Ink::Plain };
    let start = Line::new(Ink::Name, format!(" {:<9}", variant.name())).and(ink, text);
    let mut latest = census.latest(view.elapsed, columns);
    if let [.., Some(before), Some(now)] = &mut latest[..] {
        // A tick that has just begun says little about shares.
        if sum_of(now) * 2 < sum_of(before) {
            *now = *before;
        }
    }
    strip(start, latest.into_iter().map(|tick| tick.map(|both| part(both, variant))))
}

/// The column of a tick: as high as the variant's share, and red where it failed.
fn part(both: Both, variant: Variant) -> (Ink, char) {
    let counts = both[variant as usize];
    let ink = if counts.failed > 0 { Ink::Refused } else { Ink::Admitted };
    let bar = bars([Some(counts.all)].into_iter(), sum_of(&both));
    (ink, bar.chars().next().unwrap_or(' '))
}

fn sum_of(both: &Both) -> u64 {
    both[0].all + both[1].all
}

/// Requests that failed, of either variant.
fn failures(view: &View, columns: usize) -> Line {
    let census = &view.catalog.census;
    let (rate, total) = (census.failures(view.elapsed), census.total[0].failed + census.total[1].failed);
    let ink = if total == 0 { Ink::Dim } else { Ink::Refused };
    let latest: Vec<Option<u64>> = census
        .latest(view.elapsed, columns)
        .into_iter()
        .map(|tick| tick.map(|both| both[0].failed + both[1].failed))
        .collect();
    let most = latest.iter().flatten().max().copied().unwrap_or(0);
    let chart = bars(latest.into_iter(), most);
    let start = Line::new(Ink::Dim, format!(" {:<9}", ""));
    start.and(ink, format!("{:<15}{rate:>5.1}{:>8} ", "failed", grouped(total))).and(ink, chart)
}

/// One event: when, what and why.
pub(crate) fn event(event: &Event) -> Line {
    let Event { from, to, total, why, .. } = event;
    let (ink, what, why) = match event.kind {
        Kind::Aborted => (Ink::Refused, format!("{from} -> {to} of {total}, aborted"), why.as_str()),
        Kind::Advanced => (Ink::Admitted, format!("{from} -> {to} of {total}"), why.as_str()),
        Kind::Began => (Ink::Admitted, format!("{to} of {total}"), "the ramp begins"),
        Kind::Halted => (Ink::Unsure, format!("{to} of {total}, held"), why.as_str()),
        Kind::Promoted => (Ink::Admitted, format!("{from} -> {to} of {total}, promoted"), why.as_str()),
    };
    Line::new(Ink::Dim, format!(" {:>5.1} s  ", event.at.as_secs_f64()))
        .and(Ink::Plain, "canary ")
        .and(ink, what)
        .and(Ink::Dim, format!(": {why}"))
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::frame::tests::{shown, view};

    #[test]
    fn a_panel_shows_share_and_weight_side_by_side() {
        let mut view = view();
        view.elapsed = Duration::from_millis(2_600);
        view.catalog.ramp.events.truncate(2);
        view.catalog.ramp.events[1].at = Duration::from_millis(1_200);
        assert_eq!(
            shown(&routing(&view, 79, Form::Full, 2), 79),
            [
                " routing  weight   share    /s   total last 20 s               the ramp goes on",
                " canary   is well                                                        ──────",
                " stable       75  66.7 %   2.0       5                                   ▄█▄ ██",
                " canary       25  33.3 %   1.0       3                                   ▄ ▄█",
                "          failed           0.5       1                                     █",
                "   0.0 s  canary 10 of 100: the ramp begins",
                "   1.2 s  canary 10 -> 25 of 100: the interval went well",
            ]
        );
        view.catalog.ramp.events[1].at = Duration::from_millis(2_100);
        let stable = row(Variant::Stable, &view, 8).show(38, false);
        assert_eq!(stable, " stable       75       -   4.0       5", "no share of a step just taken");
    }

    #[test]
    fn a_small_panel_keeps_its_room() {
        let mut view = view();
        view.catalog.ramp.events.truncate(1);
        let lines = shown(&routing(&view, 79, Form::Small, 2), 79);
        assert_eq!(
            lines[0],
            " routing  weight ─ share ── /s ─ total last 20 s ───────────── the ramp goes on"
        );
        assert_eq!(lines[4..], ["   0.0 s  canary 10 of 100: the ramp begins", ""]);
    }
}
