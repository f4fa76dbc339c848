//! Envoy's worker, one instruction at a time.

use std::fmt;
use std::fs::{self, File};
use std::os::unix::fs::FileExt;
use std::thread;
use std::time::Duration;

use nix::errno::Errno;
use nix::sys::ptrace::{self, Options};
use nix::sys::signal::Signal;
use nix::sys::wait::{waitpid, WaitPidFlag, WaitStatus};
use nix::unistd::Pid;

use crate::clock::{Answer, Clock};
use crate::images::{Image, Images};
use crate::registers::Registers;

/// A worker thread that stands, or takes single steps, until this is dropped.
#[derive(Debug)]
pub(crate) struct Worker {
    thread: Pid,
    memory: File,
    images: Images,
    clock: Clock,
    /// The address of the instruction that makes the call in which it waits for events.
    wait: u64,
}

/// Instructions, by whose they are.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Count {
    pub(crate) envoy: u64,
    pub(crate) libraries: u64,
    pub(crate) module: u64,
}

/// Why nothing can be counted.
#[derive(Debug)]
pub(crate) enum TraceError {
    /// The system does not let this process trace another.
    Denied(Errno),
    /// A call to the system failed.
    Failed(Errno),
    /// The process is not as expected.
    Unknown(&'static str),
}

/// Calls to the system that wait for events.
const EPOLL_WAIT: u64 = 232;
const EPOLL_PWAIT: u64 = 281;
const EPOLL_PWAIT2: u64 = 441;
/// Times that it may wake, or be found at work, before it is given up.
const PATIENCE: usize = 200;
/// Bytes of the instruction that makes a call to the system.
const SYSCALL: u64 = 2;

// === impl Worker ===

impl Worker {
    /// Stops the first worker of `process` where it waits for events. Its clock stands from now on.
    pub(crate) fn hold(process: u32) -> Result<Self, TraceError> {
        let folder = format!("/proc/{process}");
        let maps = fs::read_to_string(format!("{folder}/maps"));
        let images = Images::parse(&maps.map_err(|_| TraceError::Unknown("its memory cannot be read"))?);
        let thread = find(&folder).ok_or(TraceError::Unknown("it has no worker"))?;
        ptrace::seize(thread, Options::empty()).map_err(denied)?;
        let memory = File::options().read(true).write(true).open(format!("{folder}/mem"));
        let memory = memory.map_err(|_| TraceError::Unknown("its memory cannot be opened"))?;
        let (start, end) = images.vdso().ok_or(TraceError::Unknown("it has no vDSO"))?;
        let mut vdso = vec![0; usize::try_from(end - start).unwrap_or_default()];
        let read = memory.read_exact_at(&mut vdso, start);
        read.map_err(|_| TraceError::Unknown("its vDSO cannot be read"))?;
        let wait = stop(thread)?;
        let clock = Clock::now(&vdso, start);
        let mut worker = Self { thread, memory, images, clock, wait };
        if !worker.clock.is_known() {
            return Err(TraceError::Unknown("its vDSO has no clock"));
        }
        worker.wake()?;
        Ok(worker)
    }

    /// The thread.
    pub(crate) fn thread(&self) -> Pid {
        self.thread
    }

    /// Lets it work until `done`, which is asked whenever it waits; the instructions of that.
    pub(crate) fn count(&mut self, mut done: impl FnMut() -> bool) -> Result<Count, TraceError> {
        let mut all = Count::default();
        for _ in 0..PATIENCE {
            if let Some(more) = self.wake()? {
                all.envoy += more.envoy;
                all.libraries += more.libraries;
                all.module += more.module;
            }
            if done() {
                return Ok(all);
            }
        }
        Err(TraceError::Unknown("its worker does not answer"))
    }

    /// Steps until it waits again; the instructions, if an event woke it and no timeout.
    fn wake(&mut self) -> Result<Option<Count>, TraceError> {
        let mut count = Count::default();
        let mut woken = false;
        let mut before = Registers::of(self.thread)?.at;
        loop {
            step(self.thread)?;
            let now = Registers::of(self.thread)?;
            if before == self.wait {
                woken |= (1..1 << 31).contains(&now.result);
            }
            // An instruction that repeats itself, such as `rep movsb`, is one.
            if now.at != before {
                count.add(self.images.of(before));
            }
            before = now.at;
            if now.at == self.wait && self.waits(now.result, now.timeout) {
                return Ok(woken.then_some(count));
            }
            if let Some(answer) = self.clock.answer(now.at, now.arguments) {
                before = self.tell(answer, now.stack)?;
            }
        }
    }

    /// Has a function of the clock return this answer; the address that it returns to.
    fn tell(&self, answer: Answer, stack: u64) -> Result<u64, TraceError> {
        let bytes: Vec<u8> = answer.words.iter().flat_map(|word| word.to_le_bytes()).collect();
        let wrote = self.memory.write_all_at(&bytes, answer.address);
        wrote.map_err(|_| TraceError::Unknown("its memory cannot be written"))?;
        let caller = self.word(stack)?;
        Registers::leave(self.thread, caller)?;
        Ok(caller)
    }

    /// Whether the call to the system that it is about to make waits.
    fn waits(&self, call: u64, timeout: u64) -> bool {
        let zero = |address| matches!((self.word(address), self.word(address + 8)), (Ok(0), Ok(0)));
        match call {
            // A pointer to the time, or none for ever.
            EPOLL_PWAIT2 => timeout == 0 || !zero(timeout),
            // Milliseconds, or -1 for ever.
            EPOLL_WAIT | EPOLL_PWAIT => timeout & u64::from(u32::MAX) != 0,
            _ => false,
        }
    }

    fn word(&self, address: u64) -> Result<u64, TraceError> {
        let mut word = [0; 8];
        let read = self.memory.read_exact_at(&mut word, address);
        read.map_err(|_| TraceError::Unknown("its memory cannot be read"))?;
        Ok(u64::from_le_bytes(word))
    }
}

impl Drop for Worker {
    fn drop(&mut self) {
        // It may have ended.
        let _ = ptrace::detach(self.thread, None);
    }
}

/// The thread that Envoy calls its first worker.
fn find(folder: &str) -> Option<Pid> {
    let threads = fs::read_dir(format!("{folder}/task")).ok()?.flatten();
    let mut workers = threads.filter(|thread| {
        let name = fs::read_to_string(thread.path().join("comm"));
        name.is_ok_and(|name| name.trim_end() == "wrk:worker_0")
    });
    workers.next()?.file_name().to_str()?.parse().ok().map(Pid::from_raw)
}

/// Stops a thread that is traced while it waits for events; the address of that call.
fn stop(thread: Pid) -> Result<u64, TraceError> {
    for _ in 0..PATIENCE {
        ptrace::interrupt(thread)?;
        stopped(thread)?;
        let now = Registers::of(thread)?;
        if [EPOLL_WAIT, EPOLL_PWAIT, EPOLL_PWAIT2].contains(&now.call) {
            return Ok(now.at - SYSCALL);
        }
        ptrace::cont(thread, None)?;
        thread::sleep(Duration::from_millis(1));
    }
    Err(TraceError::Unknown("its worker is never idle"))
}

/// Has a stopped thread take one step, and the signals that came meanwhile.
fn step(thread: Pid) -> Result<(), TraceError> {
    let mut signal = None;
    loop {
        ptrace::step(thread, signal)?;
        signal = stopped(thread)?;
        if signal.is_none() {
            return Ok(());
        }
    }
}

/// Waits until a thread stands; the signal that it is to get, if that is why.
fn stopped(thread: Pid) -> Result<Option<Signal>, TraceError> {
    match waitpid(thread, Some(WaitPidFlag::__WALL))? {
        WaitStatus::Stopped(_, Signal::SIGTRAP) | WaitStatus::PtraceEvent(..) => Ok(None),
        WaitStatus::Stopped(_, signal) => Ok(Some(signal)),
        _ => Err(TraceError::Unknown("it has ended")),
    }
}

// === impl Count ===

impl Count {
    fn add(&mut self, image: Image) {
        match image {
            Image::Envoy => self.envoy += 1,
            Image::Libraries => self.libraries += 1,
            Image::Module => self.module += 1,
        }
    }

    /// All of them.
    pub(crate) fn whole(self) -> u64 {
        self.envoy + self.libraries + self.module
    }
}

// === impl TraceError ===

fn denied(error: Errno) -> TraceError {
    match error {
        Errno::EPERM | Errno::EACCES | Errno::ENOSYS => TraceError::Denied(error),
        other => TraceError::Failed(other),
    }
}

impl From<Errno> for TraceError {
    fn from(error: Errno) -> Self {
        Self::Failed(error)
    }
}

impl fmt::Display for TraceError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Denied(error) => write!(
                f,
                "this system does not let a process trace another ({}): allow ptrace, or leave the count out with COUNT=off",
                error.desc()
            ),
            Self::Failed(error) => write!(f, "tracing Envoy's worker failed: {}", error.desc()),
            Self::Unknown(why) => write!(f, "Envoy cannot be traced: {why}"),
        }
    }
}
