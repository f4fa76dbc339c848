//! What a module exports and imports. Envoy enters a module for every callback that it
//! finds, so one too many costs every request.

use std::collections::BTreeSet;
use std::fs;

use tidegate_tests::paths::module;

const EXPORT: u8 = 7;
const IMPORT: u8 = 2;

/// What every filter exports.
const ALWAYS: [&str; 10] = [
    "_initialize",
    "memory",
    "proxy_abi_version_0_2_1",
    "proxy_on_configure",
    "proxy_on_context_create",
    "proxy_on_delete",
    "proxy_on_memory_allocate",
    "proxy_on_request_headers",
    "proxy_on_tick",
    "proxy_on_vm_start",
];

/// What every filter imports of `proxy_`.
const HOST: [&str; 14] = [
    "add_header_map_value",
    "define_metric",
    "get_buffer_bytes",
    "get_header_map_pairs",
    "get_property",
    "get_shared_data",
    "increment_metric",
    "log",
    "remove_header_map_value",
    "replace_header_map_value",
    "send_local_response",
    "set_property",
    "set_shared_data",
    "set_tick_period_milliseconds",
];

/// What every filter imports of the system. The environment, the output and the exit belong to Rust's
/// panics.
const SYSTEM: [&str; 6] =
    ["clock_time_get", "environ_get", "environ_sizes_get", "fd_write", "proc_exit", "random_get"];

/// A filter, with what it has besides.
struct Filter {
    name: &'static str,
    exports: &'static [&'static str],
    imports: &'static [&'static str],
    /// Most KiB.
    size: usize,
}

/// Requests count from their end, and responses at theirs.
const ENDS: [&str; 5] = [
    "proxy_on_request_body",
    "proxy_on_request_trailers",
    "proxy_on_response_body",
    "proxy_on_response_headers",
    "proxy_on_response_trailers",
];

/// It asks registries, and waits for names until Envoy may forget it.
const ASKS: [&str; 8] = [
    "envoy_on_resolve_dns",
    "proxy_on_done",
    "proxy_on_http_call_response",
    // As in `ENDS`.
    "proxy_on_request_body",
    "proxy_on_request_trailers",
    "proxy_on_response_body",
    "proxy_on_response_headers",
    "proxy_on_response_trailers",
];
const ASKED: [&str; 8] = [
    "envoy_resolve_dns",
    "proxy_continue_stream",
    "proxy_done",
    "proxy_get_header_map_value",
    "proxy_get_metric",
    "proxy_http_call",
    "proxy_record_metric",
    "proxy_set_effective_context",
];

const FILTERS: [Filter; 6] = [
    Filter {
        name: "breaker",
        exports: &ENDS,
        imports: &["proxy_get_header_map_value", "proxy_get_metric", "proxy_record_metric"],
        size: 320,
    },
    Filter { name: "discovery", exports: &ASKS, imports: &ASKED, size: 420 },
    Filter { name: "fused", exports: &ASKS, imports: &ASKED, size: 640 },
    Filter { name: "ratelimit", exports: &[], imports: &["proxy_record_metric"], size: 320 },
    Filter {
        name: "ratelimit-headers",
        exports: &["proxy_on_response_headers"],
        imports: &["proxy_record_metric"],
        size: 320,
    },
    Filter {
        name: "routing",
        exports: &ENDS,
        imports: &["proxy_get_header_map_value", "proxy_get_metric", "proxy_record_metric"],
        size: 320,
    },
];

#[test]
fn only_the_callbacks_in_use_are_exported() {
    for Filter { name, exports: besides, .. } in FILTERS {
        let exports = Module::of(name).exports();
        let expected: BTreeSet<_> = ALWAYS.iter().chain(besides).map(|name| (*name).to_owned()).collect();
        assert_eq!(exports, expected, "{name}");
    }
}

#[test]
fn only_known_host_functions_are_imported() {
    for Filter { name, imports: besides, .. } in FILTERS {
        let host = HOST.map(|name| format!("env.proxy_{name}"));
        let system = SYSTEM.map(|name| format!("wasi_snapshot_preview1.{name}"));
        let besides = besides.iter().map(|name| format!("env.{name}"));
        let expected: BTreeSet<_> = host.into_iter().chain(system).chain(besides).collect();
        assert_eq!(Module::of(name).imports(), expected, "{name}");
    }
}

#[test]
fn a_module_is_small() {
    for Filter { name, size: most, .. } in FILTERS {
        let size = Module::of(name).bytes.len();
        assert!(size <= most << 10, "{name}: {size} bytes");
    }
}

/// A module's bytes.
struct Module {
    bytes: Vec<u8>,
}

/// A place in a module's bytes.
struct Cursor<'a>(&'a [u8]);

// === impl Module ===

impl Module {
    fn of(filter: &str) -> Self {
        Self { bytes: fs::read(module(filter)).unwrap() }
    }

    /// The names of all exports.
    fn exports(&self) -> BTreeSet<String> {
        let mut section = self.section(EXPORT);
        let count = section.number();
        let export = |section: &mut Cursor<'_>| {
            let name = section.text();
            section.take(1);
            section.number();
            name
        };
        (0..count).map(|_| export(&mut section)).collect()
    }

    /// The imports as `module.name`, all of them functions.
    fn imports(&self) -> BTreeSet<String> {
        let mut section = self.section(IMPORT);
        let count = section.number();
        let import = |section: &mut Cursor<'_>| {
            let name = format!("{}.{}", section.text(), section.text());
            assert_eq!(section.take(1), [0], "{name} is no function");
            section.number();
            name
        };
        (0..count).map(|_| import(&mut section)).collect()
    }

    fn section(&self, wanted: u8) -> Cursor<'_> {
        let mut rest = Cursor(&self.bytes);
        assert_eq!(rest.take(8), b"\0asm\x01\0\0\0");
        loop {
            let id = rest.take(1)[0];
            let size = rest.number();
            let content = rest.take(size);
            if id == wanted {
                return Cursor(content);
            }
        }
    }
}

// === impl Cursor ===

impl<'a> Cursor<'a> {
    fn take(&mut self, count: usize) -> &'a [u8] {
        let (taken, rest) = self.0.split_at(count);
        self.0 = rest;
        taken
    }

    /// An unsigned LEB128 number.
    fn number(&mut self) -> usize {
        let (mut value, mut shift) = (0, 0);
        loop {
            let byte = usize::from(self.take(1)[0]);
            value |= (byte & 0x7f) << shift;
            if byte < 0x80 {
                return value;
            }
            shift += 7;
        }
    }

    fn text(&mut self) -> String {
        let length = self.number();
        String::from_utf8(self.take(length).to_vec()).unwrap()
    }
}
