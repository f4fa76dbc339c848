//! Registries that answer as no registry should.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use tidegate_tests::{eventually, Answer, Client, Port, Registry, Request};

use crate::SOON;

/// Everything that comes until the end of the connection, or until `enough` bytes.
fn bytes(registry: &Registry, enough: usize) -> Vec<u8> {
    let mut stream = TcpStream::connect(registry.addr()).unwrap();
    stream.set_read_timeout(Some(SOON)).unwrap();
    stream.write_all(b"GET / HTTP/1.1\r\n\r\n").unwrap();
    let mut all = Vec::new();
    while all.len() < enough {
        let mut chunk = [0; 100];
        match stream.read(&mut chunk).unwrap() {
            0 => break,
            count => all.extend_from_slice(&chunk[..count]),
        }
    }
    all
}

#[test]
fn a_script_is_followed_once_and_requests_are_kept() {
    let registry = Registry::new(Answer::new(200, "[]").header("x-consul-index", "7"));
    registry.script([Answer::new(500, "one"), Answer::new(429, "two")]);
    let mut client = Client::connect(registry.addr());
    let answers = ["/a?index=1", "/b", "/c", "/d"].map(|path| client.get(path, &[("x-a", "b")]).status);
    assert_eq!(answers, [500, 429, 200, 200]);
    assert_eq!(registry.lines(), ["GET /a?index=1", "GET /b", "GET /c", "GET /d"]);
    assert_eq!(registry.seen()[1].header("x-a").as_deref(), Some("b"));
    assert_eq!(registry.count(), 4);

    registry.switch(Answer::new(404, ""));
    registry.script([Answer::new(503, "")]);
    assert_eq!([client.get("/", &[]).status, client.get("/", &[]).status], [503, 404]);
}

#[test]
fn a_held_request_gets_the_next_answer() {
    let registry = Registry::new(Answer::silence());
    let call = Client::connect(registry.addr()).begin(&Request::get("/"));
    eventually("a held request", SOON, || registry.held() == 1);
    registry.switch(Answer::new(200, "changed"));
    assert_eq!(call.answer().unwrap().text(), "changed");
}

#[test]
fn lies_and_cuts_are_on_the_wire_as_told() {
    let long = "HTTP/1.1 200 Status\r\ncontent-length: 99\r\n\r\nabc";
    let cut = "HTTP/1.1 200 Status\r\ncontent-length: 3\r\n\r\nab";
    let short = "HTTP/1.1 200 Status\r\ncontent-length: 1\r\n\r\nabc";
    let cases = [
        ("a length too long", Answer::new(200, "abc").claim(99), long),
        ("a length too short", Answer::new(200, "abc").claim(1), short),
        ("cut in the middle", Answer::new(200, "abc").cut_after(2), cut),
        ("no HTTP at all", Answer::raw("SSH-2.0"), "SSH-2.0"),
        ("nothing", Answer::hang_up(), ""),
    ];
    for (name, answer, expected) in cases {
        let got = bytes(&Registry::new(answer), expected.len().max(1));
        assert_eq!(String::from_utf8_lossy(&got), expected, "{name}");
    }
}

#[test]
fn a_drip_comes_byte_by_byte_and_a_flood_whole() {
    let pause = Duration::from_millis(5);
    let registry = Registry::new(Answer::new(200, "ten bytes.").drip(pause));
    let start = Instant::now();
    assert_eq!(Client::connect(registry.addr()).get("/", &[]).text(), "ten bytes.");
    assert!(start.elapsed() >= pause * 9);

    registry.switch(Answer::new(200, vec![b'['; 10 << 20]));
    assert_eq!(Client::connect(registry.addr()).get("/", &[]).body.len(), 10 << 20);
}

#[test]
fn a_registry_comes_and_goes_at_its_port() {
    let port = Port::reserve();
    for status in [200, 500] {
        let registry = Registry::at(&port, Answer::new(status, ""));
        assert_eq!(Client::connect(port.addr()).get("/", &[]).status, status);
        drop(registry);
        assert!(Client::connect(port.addr()).try_send(&Request::get("/")).is_err());
    }
}
