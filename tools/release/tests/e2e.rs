//! Images that are pushed to a real registry and pulled from it, and what Envoy makes of the module in them.

use std::fs;
use std::path::Path;

use serde_json::{json, Value};
use tempfile::TempDir;
use tidegate_release::image::{self, Form, PLUGIN};
use tidegate_release::stamp::Stamp;
use tidegate_tests::image_registry::ImageRegistry;
use tidegate_tests::{paths, Bootstrap, Client, Envoy, Options, WasmFilter};

const VERSION: &str = "1.2.3";

/// The module of limits with a version in it.
fn stamped() -> Vec<u8> {
    let module = fs::read(paths::module("ratelimit")).unwrap();
    Stamp { name: "tidegate-ratelimit", version: VERSION, commit: "abc" }.onto(&module).unwrap()
}

/// Refuses the second request.
fn serves(module: &Path) {
    let document =
        json!({"limits": [{"name": "one", "key": [{"constant": "all"}], "requests": 1, "per_ms": 60000}]});
    let filter = WasmFilter::new(module).config(&document);
    let config = Bootstrap::new().wasm(&filter).direct_response("/", 200, "ok").json();
    let envoy = Envoy::start(&config, &Options::default()).unwrap();
    let mut client = Client::connect(envoy.addr());
    assert_eq!((client.get("/", &[]).status, client.get("/", &[]).status), (200, 429));
}

#[test]
fn a_module_comes_out_of_a_registry_as_it_went_in_and_envoy_runs_it() {
    let (registry, folder, module) = (ImageRegistry::start(), TempDir::new().unwrap(), stamped());
    for (form, tag) in [(Form::Image, "1.2.3"), (Form::Docker, "1.2.3-docker")] {
        let layout = folder.path().join(tag);
        let digest = image::write(&module, "tidegate-ratelimit", VERSION, form, &layout).unwrap();
        let image = format!("{}/tidegate/tidegate-ratelimit:{tag}", registry.name());
        registry.crane(&["push", layout.to_str().unwrap(), &image]);
        assert_eq!(registry.crane(&["digest", &image]), digest.to_string(), "{form:?}: what meshes pin");
        registry.crane(&["validate", "--remote", &image]);
        let pulled = registry.pull(&image).join(PLUGIN);
        assert!(fs::read(&pulled).unwrap() == module, "{form:?}");
        serves(&pulled);
    }
}

#[test]
fn an_artifact_has_the_layers_by_which_istio_finds_the_module() {
    let (registry, folder, module) = (ImageRegistry::start(), TempDir::new().unwrap(), stamped());
    let digest = image::write(&module, "tidegate-ratelimit", VERSION, Form::Artifact, folder.path()).unwrap();
    let name = format!("{}/tidegate/tidegate-ratelimit", registry.name());
    let tagged = format!("{name}:{VERSION}-artifact");
    registry.crane(&["push", folder.path().to_str().unwrap(), &tagged]);
    let manifest: Value =
        serde_json::from_str(&registry.crane(&["manifest", &format!("{name}@{digest}")])).unwrap();
    let layers = manifest["layers"].as_array().unwrap();
    assert_eq!(layers.len(), 2, "one layer is refused");
    let of_module =
        layers.iter().find(|layer| layer["mediaType"] == "application/vnd.module.wasm.content.layer.v1+wasm");
    assert_eq!(of_module.and_then(|layer| layer["size"].as_u64()), u64::try_from(module.len()).ok());
}
