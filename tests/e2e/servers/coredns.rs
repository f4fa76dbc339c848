//! CoreDNS.

use std::net::UdpSocket;
use std::time::Duration;

use tidegate_tests::coredns::question;
use tidegate_tests::{Bootstrap, Client, CoreDns, Envoy, Options, Request};

use super::is_silent;

const A: u16 = 1;
const SRV: u16 = 33;

const RECORDS: [&str; 4] =
    ["_web._tcp 7 IN SRV 1 20 8080 one", "one 5 IN A 127.0.0.1", "one 5 IN A 127.0.0.2", "one 5 IN AAAA ::1"];

/// A question for `_web._tcp.tidegate.test SRV`, byte by byte.
const ASKED: &[u8] = b"\0\0\x01\0\0\x01\0\0\0\0\0\0\x04_web\x04_tcp\x08tidegate\x04test\0\0\x21\0\x01";
/// Its answer: an SRV record with a TTL of 7, priority 1, weight 20, port 8080.
const RECORD: &[u8] =
    b"\x04_web\x04_tcp\x08tidegate\x04test\0\0\x21\0\x01\0\0\0\x07\0\x19\0\x01\0\x14\x1f\x90\x03one";

/// Counts of the header: questions, answers, name servers, more.
fn counts(message: &[u8]) -> [u16; 4] {
    [4, 6, 8, 10].map(|at| u16::from_be_bytes([message[at], message[at + 1]]))
}

fn contains(message: &[u8], part: &[u8]) -> bool {
    message.windows(part.len()).any(|window| window == part)
}

#[test]
fn coredns_answers_over_http_as_over_udp() {
    let coredns = CoreDns::start(&RECORDS);
    assert_eq!(question("_web._tcp.tidegate.test", SRV), ASKED);
    let answer = coredns.ask(ASKED);
    assert_eq!(answer.status, 200, "{}", answer.text());
    assert_eq!(answer.header("content-type").as_deref(), Some("application/dns-message"));
    assert_eq!(answer.header("cache-control").as_deref(), Some("max-age=5"));
    assert_eq!(counts(&answer.body), [1, 1, 1, 3]);
    assert!(contains(&answer.body, RECORD), "{:?}", answer.text());

    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    socket.set_read_timeout(Some(Duration::from_secs(5))).unwrap();
    socket.send_to(ASKED, coredns.dns_addr()).unwrap();
    let mut datagram = [0; 1500];
    let length = socket.recv(&mut datagram).unwrap();
    assert_eq!(counts(&datagram[..length])[1], 1);

    let config = Bootstrap::new().cluster("dns", &[coredns.addr()]).forward("/", "dns").json();
    let envoy = Envoy::start(&config, &Options::default()).unwrap();
    // The same question as base64url.
    let path = "/dns-query?dns=AAABAAABAAAAAAAABF93ZWIEX3RjcAh0aWRlZ2F0ZQR0ZXN0AAAhAAE";
    let through = Client::connect(envoy.addr()).get(path, &[("accept", "application/dns-message")]);
    assert_eq!((through.status, counts(&through.body)[1]), (200, 1));
}

#[test]
fn a_zone_changes_and_a_server_comes_and_goes() {
    let mut coredns = CoreDns::start(&RECORDS);
    let one = question("one.tidegate.test", A);
    assert_eq!(counts(&coredns.ask(&one).body)[1], 2);
    coredns.set(&["one 5 IN A 127.0.0.3"]);
    let answer = coredns.ask(&one).body;
    assert_eq!(counts(&answer)[1], 1);
    assert!(contains(&answer, &[127, 0, 0, 3]));
    // The name is gone: NXDOMAIN, which is 3.
    coredns.set(&[]);
    assert_eq!(coredns.ask(&one).body[3] & 0xf, 3);

    let request = Request::get("/dns-query");
    coredns.pause();
    assert!(is_silent(coredns.addr(), &request));
    coredns.resume();
    assert_eq!(coredns.ask(&one).status, 200);

    let (http, dns) = (coredns.addr(), coredns.dns_addr());
    coredns.stop();
    assert!(Client::connect(http).try_send(&request).is_err());
    coredns.write(&RECORDS);
    coredns.restart();
    assert_eq!((coredns.addr(), coredns.dns_addr()), (http, dns));
    assert_eq!(counts(&coredns.ask(&one).body)[1], 2);
}
