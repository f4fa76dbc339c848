//! A child process that cannot outlive the tests.

use std::fs::{self, File};
use std::io;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc::{channel, Sender};
use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError};
use std::thread;
use std::time::Duration;

use nix::sys::prctl;
use nix::sys::signal::{kill, SigSet, Signal};
use nix::time::clock_getcpuclockid;
use nix::unistd::Pid;

use crate::eventually::{eventually, search};

/// How long a process may take to leave when asked, before it is made to.
const GRACE: Duration = Duration::from_secs(2);

/// A running child. Dropping it ends it.
#[derive(Debug)]
pub(crate) struct Process {
    child: Mutex<Child>,
    pid: Pid,
}

impl Process {
    /// Starts `command` with its output in files.
    pub(crate) fn start(mut command: Command, stdout: &Path, stderr: &Path) -> io::Result<Self> {
        command.stdin(Stdio::null()).stdout(File::create(stdout)?).stderr(File::create(stderr)?);
        let child = spawn(command)?;
        let pid = Pid::from_raw(i32::try_from(child.id()).map_err(io::Error::other)?);
        Ok(Self { child: Mutex::new(child), pid })
    }

    pub(crate) fn pid(&self) -> u32 {
        self.pid.as_raw().unsigned_abs()
    }

    /// How it ended, if it has.
    pub(crate) fn exit(&self) -> Option<ExitStatus> {
        self.child().try_wait().ok().flatten()
    }

    /// Stops it in its tracks, with its connections open, or lets it go on.
    ///
    /// The signal is on its way when `kill` returns, so this waits until no thread runs any more.
    pub(crate) fn pause(&self, paused: bool) {
        let signal = if paused { Signal::SIGSTOP } else { Signal::SIGCONT };
        // Not yet waited for, or the number could be another's by now.
        if self.exit().is_none() {
            kill(self.pid, signal).expect("a signal to a child");
            eventually("its threads", GRACE, || self.is_stopped() == paused);
        }
    }

    /// Whether all its threads are stopped by a signal.
    fn is_stopped(&self) -> bool {
        let threads = fs::read_dir(format!("/proc/{}/task", self.pid)).into_iter().flatten().flatten();
        // One that ends between the listing and the look does not run.
        let mut states = threads.filter_map(|thread| fs::read_to_string(thread.path().join("status")).ok());
        states.all(|status| status.contains("\nState:\tT"))
    }

    /// Ends it at once, as a crash would.
    pub(crate) fn kill(&self) {
        let _ = self.child().kill();
        let _ = self.wait();
    }

    /// Waits for the end.
    pub(crate) fn wait(&self) -> io::Result<ExitStatus> {
        self.child().wait()
    }

    /// Processor time used by all its threads, in nanoseconds' resolution.
    pub(crate) fn cpu(&self) -> io::Result<Duration> {
        Ok(clock_getcpuclockid(self.pid)?.now()?.into())
    }

    /// Bytes of memory it holds.
    pub(crate) fn rss_bytes(&self) -> io::Result<u64> {
        let status = fs::read_to_string(format!("/proc/{}/status", self.pid))?;
        let kib = status
            .lines()
            .find_map(|line| line.strip_prefix("VmRSS:")?.strip_suffix("kB")?.trim().parse::<u64>().ok());
        kib.map(|kib| kib << 10).ok_or_else(|| io::Error::other("no VmRSS"))
    }

    /// Processes that it has started itself and that still run.
    pub(crate) fn children(&self) -> Vec<u32> {
        let threads = fs::read_dir(format!("/proc/{}/task", self.pid)).into_iter().flatten().flatten();
        let lists = threads.filter_map(|thread| fs::read_to_string(thread.path().join("children")).ok());
        lists
            .flat_map(|list| list.split_whitespace().filter_map(|pid| pid.parse().ok()).collect::<Vec<_>>())
            .collect()
    }

    fn child(&self) -> MutexGuard<'_, Child> {
        self.child.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // Not yet waited for, so the number is still this child's.
        if self.exit().is_none() && kill(self.pid, Signal::SIGTERM).is_ok() {
            search(GRACE, || self.exit().is_some());
        }
        if self.exit().is_none() {
            self.kill();
        }
    }
}

type Order = (Command, Sender<io::Result<Child>>);

/// Starts a child that dies with this process, however this process ends.
///
/// Linux sends the death signal when the *thread* that started the child ends, and a test's thread
/// may end before the Envoy it shares with others. So one thread that never ends starts them all.
fn spawn(mut command: Command) -> io::Result<Child> {
    static ORDERS: OnceLock<Sender<Order>> = OnceLock::new();
    let orders = ORDERS.get_or_init(|| {
        let (orders, inbox) = channel::<Order>();
        thread::spawn(move || {
            for (mut command, reply) in inbox {
                let _ = reply.send(command.spawn());
            }
        });
        orders
    });
    // Ctrl-C at a terminal is for this process alone, which then ends its children in order.
    command.process_group(0);
    // A child inherits which signals are blocked, and one that blocks SIGTERM would not leave.
    let prepare = || {
        SigSet::empty().thread_set_mask()?;
        Ok(prctl::set_pdeathsig(Signal::SIGKILL)?)
    };
    // SAFETY: between fork and exec the closure makes two system calls and allocates nothing.
    unsafe { command.pre_exec(prepare) };
    let (reply, child) = channel();
    orders.send((command, reply)).map_err(io::Error::other)?;
    child.recv().map_err(io::Error::other)?
}
