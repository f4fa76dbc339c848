//! Trims a filter's module to the callbacks it needs.
//!
//! Envoy enters the VM for every callback a module exports, and the SDK exports all there
//! are: a filter that never looks at a body still pays for each chunk of it. So a module
//! says which callbacks it needs, in the custom section [`SECTION`]; [`pack`] keeps those
//! and [`ALWAYS`], and drops the other exports with all that is then dead.
//!
//! Of the custom sections only `name` stays: Envoy prints a trap's backtrace from it. Names in
//! it become readable, and with that shorter.

#![forbid(unsafe_code)]
#![warn(clippy::expect_used, clippy::indexing_slicing, clippy::panic, clippy::unwrap_used)]

use std::fmt;

use walrus::{FunctionKind, Module, ModuleConfig};

/// The custom section in which a module names its callbacks, one export name a line.
pub const SECTION: &str = "tidegate.callbacks";

/// The exports kept in every module that has them: what Envoy needs to run a plugin at all.
pub const ALWAYS: [&str; 9] = [
    "_initialize",
    "malloc",
    "memory",
    "proxy_abi_version_0_2_1",
    "proxy_on_configure",
    "proxy_on_context_create",
    "proxy_on_delete",
    "proxy_on_memory_allocate",
    "proxy_on_vm_start",
];

/// A trimmed module.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Packed {
    /// The module as it goes into a file.
    pub wasm: Vec<u8>,
    /// Names of its exports, in alphabetical order.
    pub exports: Vec<String>,
}

/// Why a module cannot be trimmed.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum PackError {
    /// The module does not say which callbacks it needs.
    NoCallbacks,
    /// The module names callbacks which it does not export.
    NotExported(Vec<String>),
    /// The bytes are no WebAssembly module; the parser's words follow.
    NotWasm(String),
}

/// Trims `wasm` to the exports in [`ALWAYS`] and the callbacks its [`SECTION`] names.
///
/// A section without names is an answer, not a mistake: only [`ALWAYS`] stays. A module
/// packed before has no section any more, so packing it again is an error.
pub fn pack(wasm: &[u8]) -> Result<Packed, PackError> {
    let mut module = ModuleConfig::new()
        .generate_producers_section(false)
        .parse(wasm)
        .map_err(|why| PackError::NotWasm(one_line(&format!("{why:#}"))))?;
    let callbacks = take_callbacks(&mut module)?;
    keep_exports(&mut module, &callbacks);
    drop_custom_sections(&mut module);
    walrus::passes::gc::run(&mut module);
    demangle(&mut module);
    forget_data(&mut module);

    let mut exports: Vec<String> = module.exports.iter().map(|export| export.name.clone()).collect();
    exports.sort_unstable();
    Ok(Packed { wasm: module.emit_wasm(), exports })
}

/// Takes [`SECTION`] out of the module and checks that what it names is there.
fn take_callbacks(module: &mut Module) -> Result<Vec<String>, PackError> {
    let section = module.customs.remove_raw(SECTION).ok_or(PackError::NoCallbacks)?;
    let text = String::from_utf8_lossy(&section.data);
    let names = text.lines().map(str::trim).filter(|name| !name.is_empty());
    let callbacks: Vec<String> = names.map(str::to_owned).collect();

    let exported = |name: &String| module.exports.iter().any(|export| export.name == *name);
    let missing: Vec<String> = callbacks.iter().filter(|name| !exported(name)).cloned().collect();
    if missing.is_empty() {
        Ok(callbacks)
    } else {
        Err(PackError::NotExported(missing))
    }
}

/// The parser's message, which may hold a list of bytes, one a line.
fn one_line(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

fn keep_exports(module: &mut Module, callbacks: &[String]) {
    let needed = |name: &str| ALWAYS.contains(&name) || callbacks.iter().any(|callback| callback == name);
    let surplus = module.exports.iter().filter(|export| !needed(&export.name));
    let surplus: Vec<_> = surplus.map(walrus::Export::id).collect();
    for id in surplus {
        module.exports.delete(id);
    }
}

/// Makes names of functions what a person would write. Those of imports go, as the host's functions are in no
/// backtrace, and those of libraries: a frame of ours next to them says more.
fn demangle(module: &mut Module) {
    for function in module.funcs.iter_mut() {
        let import = matches!(function.kind, FunctionKind::Import(_));
        let name = function.name.as_deref().filter(|_| !import);
        let name = name.map(|name| format!("{:#}", rustc_demangle::demangle(name)));
        function.name = name.filter(|name| !is_of_library(name)).map(|name| without_path(&short(&name)));
    }
}

/// Whether a function is of a library and no part of a panic.
fn is_of_library(name: &str) -> bool {
    let name = name.trim_start_matches(['<', '&']).trim_start_matches("mut ");
    let libraries = ["alloc::", "core::", "serde_core::", "serde_json::", "T as ", "[T]", "str "];
    libraries.iter().any(|library| name.starts_with(library)) && !name.contains("panicking")
}

/// Drops the names of data: no backtrace has them.
fn forget_data(module: &mut Module) {
    let ids: Vec<_> = module.data.iter().map(walrus::Data::id).collect();
    ids.into_iter().for_each(|id| module.data.get_mut(id).name = None);
}

/// A name without what nobody needs who reads a backtrace: the name of our own crate, and long
/// lists of types.
fn short(name: &str) -> String {
    let mut out = String::new();
    let (mut depth, mut inside) = (0_usize, String::new());
    for letter in name.replace("tidegate_policy::", "").chars() {
        match letter {
            '<' if depth == 0 => depth = 1,
            '<' => depth = depth.saturating_add(1),
            '>' if depth == 1 => {
                let long = inside.len() > 24;
                out.push_str(&if long { "<_>".to_owned() } else { format!("<{inside}>") });
                inside.clear();
                depth = 0;
                continue;
            }
            '>' if depth > 1 => depth = depth.saturating_sub(1),
            _ => {}
        }
        match depth {
            0 => out.push(letter),
            1 if letter == '<' && inside.is_empty() => {}
            _ => inside.push(letter),
        }
    }
    out + &inside
}

/// A name with the last two words of its path.
fn without_path(name: &str) -> String {
    let name = name.replace("{{closure}}", "{}").replace("{{vtable.shim}}", "");
    // Brackets have paths of their own.
    let path = name.split(['<', '{']).next().unwrap_or_default();
    let Some((at, colons)) = path.trim_end_matches("::").rmatch_indices("::").nth(1) else { return name };
    name.get(at.saturating_add(colons.len())..).unwrap_or(&name).to_owned()
}

/// Drops what tools left for one another. The `name` section is not in this list: walrus
/// writes it from the names of the functions that stay.
fn drop_custom_sections(module: &mut Module) {
    let ids: Vec<_> = module.customs.iter().map(|(id, _)| id).collect();
    for id in ids {
        module.customs.delete(id);
    }
}

// === impl PackError ===

impl fmt::Display for PackError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoCallbacks => {
                write!(f, "no custom section `{SECTION}`: which callbacks to keep is unknown")
            }
            Self::NotExported(names) => {
                write!(f, "`{SECTION}` names what the module does not export: {}", names.join(", "))
            }
            Self::NotWasm(why) => write!(f, "not a WebAssembly module: {why}"),
        }
    }
}

impl std::error::Error for PackError {}

#[cfg(test)]
mod tests {
    use super::*;

    /// A module with `callbacks` in its section and, in small, all a filter's module has.
    fn module(callbacks: &str) -> Vec<u8> {
        let text = format!(
            r#"(module
                (import "env" "proxy_log" (func $log))
                (import "env" "proxy_get_buffer_bytes" (func $read_body))
                (memory (export "memory") 1)
                (func $init (export "_initialize"))
                (func (export "malloc") (result i32) i32.const 0)
                (func (export "proxy_abi_version_0_2_1"))
                (func (export "proxy_on_context_create"))
                (func $headers (export "proxy_on_request_headers") call $log)
                (func $body (export "proxy_on_request_body") call $helper)
                (func $helper call $read_body)
                (global (export "__heap_base") i32 (i32.const 1024))
                (@custom "{SECTION}" "{callbacks}")
                (@custom "target_features" "\00")
                (@custom "producers" "\00"))"#
        );
        wat::parse_str(text).unwrap()
    }

    fn exports(callbacks: &str) -> String {
        pack(&module(callbacks)).unwrap().exports.join(" ")
    }

    #[test]
    fn keeps_the_named_callbacks_and_what_every_module_needs() {
        let base = "_initialize malloc memory proxy_abi_version_0_2_1 proxy_on_context_create";
        let headers = format!("{base} proxy_on_request_headers");
        #[rustfmt::skip]
        let cases = [
            // name                      section                                   expected
            ("one a line",               r"proxy_on_request_headers\n",            &headers),
            ("no newline at the end",    r"proxy_on_request_headers",              &headers),
            ("twice, with empty lines",  r"\nproxy_on_request_headers\n\nproxy_on_request_headers\n", &headers),
            ("one that stays anyway",    r"malloc\nproxy_on_request_headers",      &headers),
            ("none",                     "",                                       &base.to_owned()),
        ];
        for (name, section, expected) in cases {
            assert_eq!(exports(section), *expected, "{name}");
        }
    }

    #[test]
    fn drops_what_only_dropped_exports_reached() {
        let packed = pack(&module("proxy_on_request_headers")).unwrap();
        let packed = Module::from_buffer(&packed.wasm).unwrap();
        let imports: Vec<_> = packed.imports.iter().map(|import| import.name.as_str()).collect();
        assert_eq!(imports, ["proxy_log"]);
        assert!(packed.funcs.by_name("helper").is_none());
    }

    #[test]
    fn keeps_names_and_no_other_custom_section() {
        let packed = pack(&module("proxy_on_request_headers")).unwrap();
        let mentions = |name: &str| packed.wasm.windows(name.len()).any(|at| at == name.as_bytes());
        assert!(!mentions("producers"));
        assert!(!mentions("target_features"));
        assert!(!mentions(SECTION));
        let reread = Module::from_buffer(&packed.wasm).unwrap();
        assert!(reread.funcs.by_name("headers").is_some());
    }

    #[test]
    fn names_say_what_a_reader_of_a_backtrace_needs() {
        #[rustfmt::skip]
        let cases = [
            ("tidegate_policy::gcra::Rate::decide",                          "Rate::decide"),
            ("tidegate_policy::gcra::Rate::decide::{{closure}}",             "Rate::decide::{}"),
            ("tidegate_policy::discovery::catalog::table::Table::pool::{{closure}}", "Table::pool::{}"),
            ("<tidegate_policy::gcra::Rate as core::fmt::Debug>::fmt",       "<_>::fmt"),
            ("std::panicking::panic_with_hook",                              "panicking::panic_with_hook"),
            ("core::panicking::panic_fmt",                                   "panicking::panic_fmt"),
            ("proxy_on_tick",                                                "proxy_on_tick"),
        ];
        for (name, expected) in cases {
            assert!(!is_of_library(name), "{name}");
            assert_eq!(without_path(&short(name)), expected);
        }
        for name in [
            "core::iter::traits::iterator::Iterator::any::{{closure}}",
            "<alloc::vec::Vec<T,A> as core::clone::Clone>::clone",
            "core::ptr::drop_in_place<tidegate_policy::gcra::Rate>",
            "<&T as core::fmt::Display>::fmt",
            "<str as core::fmt::Debug>::fmt",
            "<&mut serde_json::de::Deserializer<R> as serde_core::de::Deserializer>::deserialize_any",
        ] {
            assert!(is_of_library(name), "{name}");
        }
    }

    #[test]
    fn a_module_without_the_section_is_refused() {
        let plain = wat::parse_str("(module)").unwrap();
        assert_eq!(pack(&plain), Err(PackError::NoCallbacks));
    }

    #[test]
    fn a_packed_module_is_not_packed_again() {
        let packed = pack(&module("proxy_on_request_headers")).unwrap();
        assert_eq!(pack(&packed.wasm), Err(PackError::NoCallbacks));
    }

    #[test]
    fn every_callback_that_is_not_exported_is_named() {
        let got = pack(&module(r"proxy_on_tick\nproxy_on_request_headers\nproxy_on_log")).unwrap_err();
        assert_eq!(
            got.to_string(),
            "`tidegate.callbacks` names what the module does not export: proxy_on_tick, proxy_on_log"
        );
    }

    #[test]
    fn other_bytes_are_refused() {
        for bytes in [&b""[..], b"\0asm", b"not a module, not even close"] {
            let got = pack(bytes);
            assert!(matches!(got, Err(PackError::NotWasm(_))), "{bytes:?}: {got:?}");
        }
    }
}
