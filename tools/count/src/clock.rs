//! A clock that stands still while requests are counted.
//!
//! Programs read the clock by the vDSO, a small library that the kernel maps into each process. The
//! tracer sees the worker enter it and answers in its place, so that leases hold, no tick falls into
//! a request, and no library has to be loaded into Envoy.

use std::collections::BTreeMap;

use nix::time::{clock_gettime, ClockId};

use crate::elf;

/// Where the worker reads the clock, and the time it gets.
#[derive(Clone, Debug)]
pub(crate) struct Clock {
    functions: BTreeMap<u64, Function>,
    /// Seconds and nanoseconds by the number of the clock.
    times: Vec<(u64, [i64; 2])>,
}

/// A function of the vDSO that tells the time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Function {
    ClockGetTime,
    GetTimeOfDay,
}

/// What a call gets instead: these words, written to this address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Answer {
    pub(crate) address: u64,
    pub(crate) words: [i64; 2],
}

// === impl Clock ===

impl Clock {
    /// The clock of a process whose vDSO is `image`, mapped at `start`, as of now.
    pub(crate) fn now(image: &[u8], start: u64) -> Self {
        let known = |(name, offset): (String, u64)| {
            let function = match name.trim_start_matches("__vdso_") {
                "clock_gettime" => Function::ClockGetTime,
                "gettimeofday" => Function::GetTimeOfDay,
                _ => return None,
            };
            Some((start + offset, function))
        };
        // Other clocks tell processor time, which is the thread's own.
        let clocks = [
            ClockId::CLOCK_REALTIME,
            ClockId::CLOCK_MONOTONIC,
            ClockId::CLOCK_MONOTONIC_RAW,
            ClockId::CLOCK_REALTIME_COARSE,
            ClockId::CLOCK_MONOTONIC_COARSE,
            ClockId::CLOCK_BOOTTIME,
        ];
        let time = |clock: ClockId| {
            let time = clock_gettime(clock).ok()?;
            Some((u64::try_from(clock.as_raw()).ok()?, [time.tv_sec(), time.tv_nsec()]))
        };
        Self {
            functions: elf::functions(image).into_iter().filter_map(known).collect(),
            times: clocks.into_iter().filter_map(time).collect(),
        }
    }

    /// Whether there is a function to answer for.
    pub(crate) fn is_known(&self) -> bool {
        !self.functions.is_empty()
    }

    /// The answer to a call of the function at `address`, if it tells a time that stands still.
    pub(crate) fn answer(&self, address: u64, arguments: [u64; 2]) -> Option<Answer> {
        let time = |clock: u64| Some(self.times.iter().find(|(number, _)| *number == clock)?.1);
        let [first, second] = arguments;
        match self.functions.get(&address)? {
            Function::ClockGetTime => Some(Answer { address: second, words: time(first)? }),
            Function::GetTimeOfDay => {
                let [seconds, nanoseconds] = time(0)?;
                Some(Answer { address: first, words: [seconds, nanoseconds / 1_000] })
            }
        }
    }
}
