//! Runs the test vectors on wasm32-unknown-unknown, under Node.
#![cfg(target_arch = "wasm32")]

use tidegate_vectors::{run, File};
use wasm_bindgen::prelude::*;
use wasm_bindgen_test::wasm_bindgen_test;

#[wasm_bindgen(module = "fs")]
extern "C" {
    #[wasm_bindgen(js_name = readdirSync, catch)]
    fn read_dir(path: &str) -> Result<Vec<String>, JsValue>;
    #[wasm_bindgen(js_name = readFileSync, catch)]
    fn read_file(path: &str, encoding: &str) -> Result<String, JsValue>;
    #[wasm_bindgen(js_name = writeSync)]
    fn write(descriptor: u32, text: &str);
}

#[wasm_bindgen]
extern "C" {
    #[wasm_bindgen(thread_local_v2, js_namespace = ["process", "env"], js_name = TIDEGATE_VECTORS)]
    static TIDEGATE_VECTORS: Option<String>;
}

#[wasm_bindgen_test]
fn vectors_hold() {
    let folder = TIDEGATE_VECTORS.with(Clone::clone).filter(|folder| !folder.is_empty());
    let folder = folder.unwrap_or_else(|| concat!(env!("CARGO_MANIFEST_DIR"), "/../vectors").to_string());
    let names = read_dir(&folder).unwrap_or_else(|error| panic!("{folder}: {error:?}"));
    let read = |name: String| {
        let text = read_file(&format!("{folder}/{name}"), "utf8").map_err(|error| format!("{error:?}"));
        File { name, text }
    };
    let files = names.into_iter().filter(|name| name.ends_with(".json")).map(read).collect();
    let result = run(&folder, files, |name, outcome| write(1, &format!("{name}: {outcome}\n")));
    if let Err(failure) = result {
        write(1, &format!("failed: {failure}\n"));
        panic!("{failure}");
    }
}
