//! `make run`: clients of every kind before one Envoy, and live what becomes of their requests.
//!
//! ```text
//!   cast, shop, crowd, buyers ──requests──► world: Envoy, the filters, an upstream; checkout, catalog
//!    │ answers                               │ counters, log   and orders with their scripts
//!    ▼                                       ▼
//!   tally, till, census, ledger ──────────► view ──► frame and panels, summary ──lines──► screen
//! ```
//!
//! Signals are waited for by a thread of their own, so everything else just runs until the
//! [`End`], and leaves in order.

mod buyers;
mod cast;
mod catalog;
mod checkout;
mod crowd;
mod discovery;
mod frame;
mod history;
mod orders;
mod panel;
mod plot;
mod ramp;
mod ring;
mod routing;
mod screen;
mod script;
mod service;
mod shop;
mod summary;
mod tally;
mod text;
mod view;
mod world;

use std::env;
use std::io;
use std::process::ExitCode;
use std::thread;
use std::time::{Duration, Instant};

use nix::sys::prctl;
use nix::sys::signal::{SigSet, Signal};

use self::buyers::Buyers;
use self::cast::{Actor, End, CAST};
use self::crowd::Crowd;
use self::plot::Registry;
use self::screen::Screen;
use self::shop::Shop;
use self::summary::Said;
use self::view::View;
use self::world::World;

const USAGE: &str = "usage: demo [--seconds N] [--registry static|consul]";
/// Time between two pictures.
const PICTURE: Duration = Duration::from_millis(250);
/// Pictures in a second.
const PICTURES: u32 = 4;
/// How late the filter's counters may be.
const FLUSH: Duration = Duration::from_millis(1_500);

fn main() -> ExitCode {
    let done =
        arguments(env::args().skip(1)).and_then(|(length, registry)| run(length, registry, &on_signal()));
    match done {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}

/// How many seconds to run, if not until a signal, and with which registry.
fn arguments(mut args: impl Iterator<Item = String>) -> Result<(Option<u64>, Registry), String> {
    let (mut length, mut registry) = (None, Registry::default());
    while let Some(name) = args.next() {
        match (name.as_str(), args.next()) {
            ("--seconds", Some(count)) => {
                let count = count.parse().ok().filter(|count| (1..=86_400).contains(count));
                length = Some(count.ok_or("--seconds: expected a whole number, 1 to 86400")?);
            }
            ("--registry", Some(name)) => {
                registry = Registry::named(&name).ok_or("--registry: expected static or consul")?;
            }
            _ => return Err(USAGE.to_owned()),
        }
    }
    Ok((length, registry))
}

/// An end that comes with Ctrl-C, when the demo is asked to leave, or when who started it has gone.
/// To be called before any thread starts, as threads inherit which signals they leave to others.
fn on_signal() -> End {
    let signals: SigSet = [Signal::SIGHUP, Signal::SIGINT, Signal::SIGTERM].into_iter().collect();
    let end = End::default();
    let _ = prctl::set_pdeathsig(Signal::SIGTERM);
    if signals.thread_block().is_ok() {
        let end = end.clone();
        thread::spawn(move || {
            let _ = signals.wait();
            end.come();
        });
    }
    end
}

/// The demo, until its end. Whether all limits held.
fn run(length: Option<u64>, registry: Registry, end: &End) -> Result<bool, String> {
    let mut world = World::start(registry)?;
    let mut screen = Screen::open();
    let start = Instant::now();
    world.begin(start);
    let shop = Shop::open(world.addr(), start, end);
    let crowd = Crowd::gather(world.addr(), start, end);
    let buyers = Buyers::come(world.addr(), start, end);
    let actors: Vec<Actor> = CAST.iter().map(|role| role.play(world.addr(), start, end)).collect();
    let shown = show(&mut world, (&actors, &shop, &crowd, &buyers), &screen, start, length, end);
    end.come();

    let cast: Vec<_> = actors.into_iter().map(Actor::leave).collect();
    let counts = (shop.close(), crowd.scatter(), buyers.leave());
    let elapsed = start.elapsed();
    shown?;
    let last = loop {
        world.look(elapsed)?;
        let view = View::new(&world, cast.iter().cloned(), counts.clone(), elapsed, length);
        let counted = view.limits.iter().map(|limit| limit.counts[0] + limit.counts[2]).max();
        if counted >= Some(view.passed()) || start.elapsed() > elapsed + FLUSH {
            break view;
        }
        thread::sleep(PICTURE / 10);
    };
    drop(world);
    screen.close();
    let _ = screen.print(&summary::summary(&last));
    Ok(last.holds())
}

/// Shows what happens until the end.
fn show(
    world: &mut World,
    (actors, shop, crowd, buyers): (&[Actor], &Shop, &Crowd, &Buyers),
    screen: &Screen,
    start: Instant,
    length: Option<u64>,
    end: &End,
) -> Result<(), String> {
    let mut said = Said::default();
    for picture in 0.. {
        if end.comes_before(start + PICTURE * picture) {
            return Ok(());
        }
        world.act(start.elapsed(), |act| buyers.expect(act, start.elapsed()));
        world.look(start.elapsed())?;
        let clients = actors.iter().map(|actor| (actor.role, actor.tally()));
        let counts = (shop.till(), crowd.census(), buyers.ledger());
        let view = View::new(world, clients, counts, start.elapsed(), length);
        // Nobody looks any more: that is an end, too.
        if paint(screen, &view, picture, said).is_err() || length.is_some_and(|s| view.elapsed.as_secs() >= s)
        {
            return Ok(());
        }
        said = Said::all(&view);
    }
    Ok(())
}

/// Draws, or says what is new: what happened beyond what was `said`, and the second's numbers.
fn paint(screen: &Screen, view: &View, picture: u32, said: Said) -> io::Result<()> {
    if screen.is_terminal() {
        let (width, height) = Screen::size();
        return screen.draw(&frame::frame(view, width, height));
    }
    if picture == 0 {
        screen.print(&summary::opening(view))?;
    }
    screen.print(&summary::news(view, said))?;
    if picture > 0 && picture % PICTURES == 0 {
        screen.print(&summary::second(view))?;
    }
    Ok(())
}
