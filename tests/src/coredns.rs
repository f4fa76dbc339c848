//! A real CoreDNS that serves one zone, `tidegate.test`, over plain DNS and over HTTP.
//!
//! DNS over HTTP as in RFC 8484, in HTTP/1.1 without TLS: so an Envoy cluster needs nothing but the
//! address. CoreDNS looks at the file of the zone every 20 ms and takes it when its serial is
//! higher.

use std::fs;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use tempfile::TempDir;

use crate::client::{Client, Request, Response};
use crate::eventually::search;
use crate::paths;
use crate::process::Process;
use crate::upstream::Port;

/// How long CoreDNS may take until it serves the zone, or its next version.
const START: Duration = Duration::from_secs(10);
/// Number of the type TXT.
const TXT: u16 = 16;

/// A CoreDNS that serves. Dropping it ends it.
#[derive(Debug)]
pub struct CoreDns {
    http: Port,
    dns: Port,
    serial: u32,
    process: Option<Process>,
    dir: TempDir,
}

// === impl CoreDns ===

impl CoreDns {
    /// The binary: `COREDNS`, else `coredns` on the path, else the one `make servers` builds.
    ///
    /// # Panics
    ///
    /// If there is none.
    pub fn find() -> PathBuf {
        paths::server("COREDNS", "coredns")
    }

    /// Starts one whose zone has these records, each a line of a zone file with names relative to
    /// `tidegate.test`: `_web._tcp 5 IN SRV 0 1 8080 one`, `one 5 IN A 127.0.0.1`.
    ///
    /// # Panics
    ///
    /// If it does not come up, with what it wrote.
    pub fn start(records: &[&str]) -> Self {
        let dir = TempDir::with_prefix("tidegate-coredns-").expect("a temporary directory");
        let (http, dns) = (Port::reserve(), Port::reserve_with_udp());
        let mut coredns = Self { http, dns, serial: 0, process: None, dir };
        coredns.write(records);
        coredns.restart();
        coredns
    }

    /// Where it answers DNS over HTTP, at the path `/dns-query`.
    pub fn addr(&self) -> SocketAddr {
        self.http.addr()
    }

    /// Where it answers DNS over UDP and TCP.
    pub fn dns_addr(&self) -> SocketAddr {
        self.dns.addr()
    }

    /// Gives the zone other records and returns once they are served. For a CoreDNS that is stopped
    /// or paused there is [`write`](Self::write).
    ///
    /// # Panics
    ///
    /// If it does not take them, with what it wrote.
    pub fn set(&mut self, records: &[&str]) {
        self.write(records);
        self.wait();
    }

    /// Writes other records into the file of the zone, for CoreDNS to find. It keeps the old ones if
    /// these are not well formed.
    pub fn write(&mut self, records: &[&str]) {
        self.serial += 1;
        let serial = self.serial;
        // The zone's own name server outlives the records, as `max-age` is the least of all times to
        // live. That a name or a type does not exist counts for a second.
        let soa = format!("@ 1 IN SOA ns hostmaster {serial} 60 60 60 1\n");
        let soa = format!("{soa}@ 86400 IN NS ns\nns 86400 IN A 127.0.0.1\n");
        let mark = format!("serial 1 IN TXT \"{}\"\n", mark(serial));
        let zone = format!("$ORIGIN tidegate.test.\n{soa}{mark}{}\n", records.join("\n"));
        // Written aside and renamed, so never half of it is read.
        let (aside, file) = (self.dir.path().join("zone.next"), self.zone());
        fs::write(&aside, zone).and_then(|()| fs::rename(aside, file)).expect("a zone file");
    }

    /// Kills it, if it runs.
    pub fn stop(&mut self) {
        self.process.take().as_ref().map(Process::kill);
    }

    /// Starts it again at the same ports.
    ///
    /// # Panics
    ///
    /// If it does not come up, with what it wrote.
    pub fn restart(&mut self) {
        self.stop();
        let at = |name: &str| self.dir.path().join(name);
        let zone =
            format!("bind 127.0.0.1\nfile {} tidegate.test {{\nreload 20ms\n}}", self.zone().display());
        let [dns, http] = [&self.dns, &self.http].map(|port| port.addr().port());
        let keys = format!("dns://.:{dns}, https://.:{http}");
        fs::write(at("Corefile"), format!("{keys} {{\n{zone}\nerrors\n}}\n")).expect("a Corefile");
        let mut command = Command::new(Self::find());
        command.current_dir(self.dir.path()).arg("-conf").arg(at("Corefile"));
        let process = Process::start(command, &at("log"), &at("stderr")).expect("a process");
        self.process = Some(process);
        self.wait();
    }

    /// Stops it in its tracks: it takes connections and answers nothing.
    pub fn pause(&self) {
        self.process.iter().for_each(|process| process.pause(true));
    }

    /// Lets it go on.
    pub fn resume(&self) {
        self.process.iter().for_each(|process| process.pause(false));
    }

    /// What it has logged so far.
    pub fn log(&self) -> String {
        let files = ["log", "stderr"].map(|name| fs::read(self.dir.path().join(name)).unwrap_or_default());
        String::from_utf8_lossy(&files.concat()).into_owned()
    }

    /// Sends a DNS message over HTTP. The body of the answer is one, too.
    ///
    /// # Panics
    ///
    /// If no answer arrives in ten seconds.
    pub fn ask(&self, message: &[u8]) -> Response {
        Client::connect(self.addr()).send(&request(message))
    }

    fn zone(&self) -> PathBuf {
        self.dir.path().join("zone")
    }

    /// Waits until it serves the zone as it was written last.
    fn wait(&self) {
        let (question, mark) = (question("serial.tidegate.test", TXT), mark(self.serial).into_bytes());
        let served = search(START, || {
            let answer = Client::connect(self.addr()).try_send(&request(&question));
            answer.is_ok_and(|answer| answer.body.windows(mark.len()).any(|part| part == mark))
        });
        assert!(served.is_some(), "CoreDNS does not serve the zone; its log:\n{}", self.log());
    }
}

impl Drop for CoreDns {
    fn drop(&mut self) {
        self.stop();
    }
}

/// A DNS message that asks for the records of this type, RFC 1035, section 4.1. Its id is 0, as RFC
/// 8484 wants it.
///
/// # Panics
///
/// If a label has more than 255 bytes.
pub fn question(name: &str, kind: u16) -> Vec<u8> {
    // Id 0, recursion desired, one question.
    let mut message = vec![0, 0, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0];
    for label in name.split('.') {
        message.push(u8::try_from(label.len()).expect("a label"));
        message.extend_from_slice(label.as_bytes());
    }
    message.push(0);
    message.extend_from_slice(&kind.to_be_bytes());
    message.extend_from_slice(&[0, 1]);
    message
}

/// What only the zone with this serial says.
fn mark(serial: u32) -> String {
    format!("<{serial}>")
}

fn request(message: &[u8]) -> Request {
    let kind = "application/dns-message";
    Request::new("POST", "/dns-query").header("content-type", kind).header("accept", kind).body(message)
}
