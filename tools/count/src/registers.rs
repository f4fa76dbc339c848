//! The registers of a stopped thread, as far as counting needs them: on x86-64.

use nix::unistd::Pid;

use crate::worker::TraceError;

/// What a stopped thread is about to do.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Registers {
    /// The address of its next instruction.
    pub(crate) at: u64,
    /// The address of what it pushed last: the address to return to, at the start of a function.
    pub(crate) stack: u64,
    /// The number of the call to the system that it is about to make, or the result of the last one.
    pub(crate) result: u64,
    /// The number of the call to the system that it is in.
    pub(crate) call: u64,
    /// The first arguments of a function.
    pub(crate) arguments: [u64; 2],
    /// The fourth argument of a call to the system: the timeout of one that waits for events.
    pub(crate) timeout: u64,
}

#[cfg(target_arch = "x86_64")]
impl Registers {
    pub(crate) fn of(thread: Pid) -> Result<Self, TraceError> {
        let all = nix::sys::ptrace::getregs(thread)?;
        Ok(Self {
            at: all.rip,
            stack: all.rsp,
            result: all.rax,
            call: all.orig_rax,
            arguments: [all.rdi, all.rsi],
            timeout: all.r10,
        })
    }

    /// Has a thread at the start of a function return `address` with 0.
    pub(crate) fn leave(thread: Pid, address: u64) -> Result<(), TraceError> {
        let mut all = nix::sys::ptrace::getregs(thread)?;
        all.rip = address;
        all.rsp += 8;
        all.rax = 0;
        Ok(nix::sys::ptrace::setregs(thread, all)?)
    }
}

#[cfg(not(target_arch = "x86_64"))]
impl Registers {
    pub(crate) fn of(_thread: Pid) -> Result<Self, TraceError> {
        Err(TraceError::Unknown(
            "instructions are counted on x86-64 alone; leave the count out with COUNT=off",
        ))
    }

    pub(crate) fn leave(thread: Pid, _address: u64) -> Result<(), TraceError> {
        Self::of(thread).map(|_| ())
    }
}
