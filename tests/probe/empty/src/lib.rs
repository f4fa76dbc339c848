//! A filter that does nothing: the unit in which the cost of a filter is measured.
//!
//! It is what every published filter pays before its first own instruction: the SDK,
//! with every callback the SDK exports. So it must not be packed, and it must not grow.

#![expect(missing_docs, reason = "proxy_wasm::main! exports a function")]

use proxy_wasm::traits::{Context, HttpContext, RootContext};
use proxy_wasm::types::ContextType;

proxy_wasm::main! {{
    proxy_wasm::set_root_context(|_| Box::new(Empty));
}}

/// Root and exchange alike: there is nothing to tell them apart.
struct Empty;

impl Context for Empty {}

impl RootContext for Empty {
    fn get_type(&self) -> Option<ContextType> {
        Some(ContextType::HttpContext)
    }

    fn create_http_context(&self, _context_id: u32) -> Option<Box<dyn HttpContext>> {
        Some(Box::new(Empty))
    }
}

impl HttpContext for Empty {}
