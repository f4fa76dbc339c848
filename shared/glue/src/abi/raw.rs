//! The imports themselves, and what stands in for them off wasm32.

#[cfg(target_arch = "wasm32")]
pub(super) use imports::*;

#[cfg(not(target_arch = "wasm32"))]
pub(super) use absent::*;

#[cfg(target_arch = "wasm32")]
mod imports {
    #[link(wasm_import_module = "env")]
    extern "C" {
        pub(in super::super) fn envoy_resolve_dns(name: *const u8, len: usize, token: *mut u32) -> u32;
        pub(in super::super) fn proxy_add_header_map_value(
            map: u32,
            name: *const u8,
            name_len: usize,
            value: *const u8,
            value_len: usize,
        ) -> u32;
        pub(in super::super) fn proxy_continue_stream(kind: u32) -> u32;
        pub(in super::super) fn proxy_define_metric(
            kind: u32,
            name: *const u8,
            len: usize,
            id: *mut u32,
        ) -> u32;
        pub(in super::super) fn proxy_done() -> u32;
        pub(in super::super) fn proxy_get_buffer_bytes(
            kind: u32,
            start: usize,
            max: usize,
            data: *mut *mut u8,
            size: *mut usize,
        ) -> u32;
        pub(in super::super) fn proxy_get_header_map_pairs(
            map: u32,
            data: *mut *mut u8,
            size: *mut usize,
        ) -> u32;
        pub(in super::super) fn proxy_get_header_map_value(
            map: u32,
            name: *const u8,
            len: usize,
            data: *mut *mut u8,
            size: *mut usize,
        ) -> u32;
        pub(in super::super) fn proxy_get_metric(id: u32, value: *mut u64) -> u32;
        pub(in super::super) fn proxy_get_property(
            path: *const u8,
            len: usize,
            data: *mut *mut u8,
            size: *mut usize,
        ) -> u32;
        pub(in super::super) fn proxy_get_shared_data(
            key: *const u8,
            len: usize,
            data: *mut *mut u8,
            size: *mut usize,
            cas: *mut u32,
        ) -> u32;
        pub(in super::super) fn proxy_http_call(
            cluster: *const u8,
            cluster_len: usize,
            headers: *const u8,
            headers_len: usize,
            body: *const u8,
            body_len: usize,
            trailers: *const u8,
            trailers_len: usize,
            timeout_millis: u32,
            token: *mut u32,
        ) -> u32;
        pub(in super::super) fn proxy_increment_metric(id: u32, offset: i64) -> u32;
        pub(in super::super) fn proxy_log(level: u32, line: *const u8, len: usize) -> u32;
        pub(in super::super) fn proxy_record_metric(id: u32, value: u64) -> u32;
        pub(in super::super) fn proxy_remove_header_map_value(map: u32, name: *const u8, len: usize) -> u32;
        pub(in super::super) fn proxy_replace_header_map_value(
            map: u32,
            name: *const u8,
            name_len: usize,
            value: *const u8,
            value_len: usize,
        ) -> u32;
        pub(in super::super) fn proxy_send_local_response(
            status: u32,
            details: *const u8,
            details_len: usize,
            body: *const u8,
            body_len: usize,
            headers: *const u8,
            headers_len: usize,
            grpc_status: i32,
        ) -> u32;
        pub(in super::super) fn proxy_set_effective_context(id: u32) -> u32;
        pub(in super::super) fn proxy_set_property(
            path: *const u8,
            path_len: usize,
            value: *const u8,
            value_len: usize,
        ) -> u32;
        pub(in super::super) fn proxy_set_shared_data(
            key: *const u8,
            key_len: usize,
            value: *const u8,
            value_len: usize,
            cas: u32,
        ) -> u32;
        pub(in super::super) fn proxy_set_tick_period_milliseconds(millis: u32) -> u32;
    }

    #[link(wasm_import_module = "wasi_snapshot_preview1")]
    extern "C" {
        pub(in super::super) fn clock_time_get(id: u32, precision: u64, nanos: *mut u64) -> u32;
        pub(in super::super) fn random_get(bytes: *mut u8, len: usize) -> u32;
    }

    #[cfg(target_os = "wasi")]
    extern "C" {
        pub(in super::super) fn __wasm_call_ctors();
    }
}

/// A world without a host.
#[cfg(not(target_arch = "wasm32"))]
#[allow(clippy::too_many_arguments, reason = "as many as the ABI has")]
mod absent {
    macro_rules! absent {
        ($($name:ident($($argument:ty),*);)*) => {
            $(pub(in super::super) unsafe fn $name($(_: $argument),*) -> u32 { crate::abi::NO_HOST.0 })*
        };
    }

    absent! {
        clock_time_get(u32, u64, *mut u64);
        envoy_resolve_dns(*const u8, usize, *mut u32);
        proxy_add_header_map_value(u32, *const u8, usize, *const u8, usize);
        proxy_continue_stream(u32);
        proxy_define_metric(u32, *const u8, usize, *mut u32);
        proxy_done();
        proxy_get_buffer_bytes(u32, usize, usize, *mut *mut u8, *mut usize);
        proxy_get_header_map_pairs(u32, *mut *mut u8, *mut usize);
        proxy_get_header_map_value(u32, *const u8, usize, *mut *mut u8, *mut usize);
        proxy_get_metric(u32, *mut u64);
        proxy_get_property(*const u8, usize, *mut *mut u8, *mut usize);
        proxy_get_shared_data(*const u8, usize, *mut *mut u8, *mut usize, *mut u32);
        proxy_http_call(*const u8, usize, *const u8, usize, *const u8, usize, *const u8, usize, u32, *mut u32);
        proxy_increment_metric(u32, i64);
        proxy_log(u32, *const u8, usize);
        proxy_record_metric(u32, u64);
        proxy_remove_header_map_value(u32, *const u8, usize);
        proxy_replace_header_map_value(u32, *const u8, usize, *const u8, usize);
        proxy_send_local_response(u32, *const u8, usize, *const u8, usize, *const u8, usize, i32);
        proxy_set_effective_context(u32);
        proxy_set_property(*const u8, usize, *const u8, usize);
        proxy_set_shared_data(*const u8, usize, *const u8, usize, u32);
        proxy_set_tick_period_milliseconds(u32);
        random_get(*mut u8, usize);
    }
}
