//! Runs the store contract inside Envoy, through the glue's own store.
//!
//! Each request runs it once, on cells named after the request's path, and is answered
//! with 200 or with 500 and the promise that was not kept.

#![expect(missing_docs, reason = "proxy_wasm::main! exports a function")]

use proxy_wasm::hostcalls;
use proxy_wasm::traits::{Context, HttpContext, RootContext};
use proxy_wasm::types::{Action, ContextType, MapType};

proxy_wasm::main! {{
    proxy_wasm::set_root_context(|_| Box::new(Contract));
}}

/// Root and exchange alike: neither remembers anything.
struct Contract;

impl Context for Contract {}

impl RootContext for Contract {
    fn get_type(&self) -> Option<ContextType> {
        Some(ContextType::HttpContext)
    }

    fn create_http_context(&self, _context_id: u32) -> Option<Box<dyn HttpContext>> {
        Some(Box::new(Contract))
    }
}

impl HttpContext for Contract {
    fn on_http_request_headers(&mut self, _count: usize, _end_of_stream: bool) -> Action {
        let path = hostcalls::get_map_value_bytes(MapType::HttpRequestHeaders, ":path").ok().flatten();
        let name = String::from_utf8_lossy(&path.unwrap_or_default()).into_owned();
        let (status, text) = match tidegate_sim::contract::check(&tidegate_glue::host::Cells, &name) {
            Ok(()) => (200, "kept".to_owned()),
            Err(broken) => (500, broken),
        };
        let _ = hostcalls::send_http_response(status, vec![], Some(text.as_bytes()));
        Action::Pause
    }
}
