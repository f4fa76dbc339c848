//! A filter that traps on demand, for tests of what Envoy and its neighbours then do.
//!
//! The request header `x-trap` says where:
//!
//! - `request`: in the request headers callback;
//! - `response`: in the response headers callback.
//!
//! Any other value, not UTF-8 included, passes, and so does a request without the header.
//! It is a module of its own because a trap ends every filter in the VM it happens in.

#![expect(missing_docs, reason = "proxy_wasm::main! exports a function")]

use proxy_wasm::hostcalls;
use proxy_wasm::traits::{Context, HttpContext, RootContext};
use proxy_wasm::types::{Action, ContextType, LogLevel, MapType};

proxy_wasm::main! {{
    proxy_wasm::set_log_level(LogLevel::Info);
    proxy_wasm::set_root_context(|_| Box::new(Root));
}}

/// Makes an exchange a request.
struct Root;

impl Context for Root {}

impl RootContext for Root {
    fn on_configure(&mut self, _size: usize) -> bool {
        log::info!("trap: ready");
        true
    }

    fn get_type(&self) -> Option<ContextType> {
        Some(ContextType::HttpContext)
    }

    fn create_http_context(&self, _context_id: u32) -> Option<Box<dyn HttpContext>> {
        Some(Box::new(Exchange { trap: Trap::Never }))
    }
}

/// Where an exchange is to trap.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Trap {
    Never,
    Request,
    Response,
}

/// One request and its response.
struct Exchange {
    /// Read once: the request's headers are gone by the time of the response.
    trap: Trap,
}

impl Context for Exchange {}

impl HttpContext for Exchange {
    fn on_http_request_headers(&mut self, _count: usize, _end_of_stream: bool) -> Action {
        self.trap = wanted();
        if self.trap == Trap::Request {
            panic!("trap: asked for in request headers");
        }
        Action::Continue
    }

    fn on_http_response_headers(&mut self, _count: usize, _end_of_stream: bool) -> Action {
        if self.trap == Trap::Response {
            panic!("trap: asked for in response headers");
        }
        Action::Continue
    }
}

/// What the request's `x-trap` asks for.
fn wanted() -> Trap {
    match hostcalls::get_map_value_bytes(MapType::HttpRequestHeaders, "x-trap") {
        Ok(Some(value)) if value == b"request" => Trap::Request,
        Ok(Some(value)) if value == b"response" => Trap::Response,
        _ => Trap::Never,
    }
}
