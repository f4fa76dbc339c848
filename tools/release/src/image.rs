//! Images of a module, as folders in the OCI image layout.
//!
//! Meshes differ in what they load. All take an image whose only layer, `tar+gzip`, holds the module as
//! `plugin.wasm`: in OCI's media types or in Docker's. Istio also takes an artifact of two layers, one of which
//! is the module. An artifact of one layer, `application/wasm`, none of them takes.

use std::io::{self, Write};
use std::path::Path;
use std::{fmt, fs};

use flate2::write::GzEncoder;
use flate2::{Compression, GzBuilder};
use serde_json::{json, Value};
use sha2::{Digest, Sha256};

/// The name that the module has in an image: meshes look for it.
pub const PLUGIN: &str = "plugin.wasm";

/// What kind of image it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Form {
    /// Two layers, the second of which is the module: for Istio.
    Artifact,
    /// An image with Docker's media types: for registries that know no others.
    Docker,
    /// An image with OCI's media types: for Istio and Envoy Gateway.
    Image,
}

/// The digest of a manifest: the name of an image that never changes, and what a `WasmPlugin` wants as `sha256`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ManifestDigest(String);

/// A layout that is being written.
struct Layout<'a> {
    folder: &'a Path,
}

/// The media types of one form.
struct MediaTypes {
    manifest: &'static str,
    config: &'static str,
    layer: &'static str,
}

const OCI_MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
const IMAGE: MediaTypes = MediaTypes {
    manifest: OCI_MANIFEST,
    config: "application/vnd.oci.image.config.v1+json",
    layer: "application/vnd.oci.image.layer.v1.tar+gzip",
};
const DOCKER: MediaTypes = MediaTypes {
    manifest: "application/vnd.docker.distribution.manifest.v2+json",
    config: "application/vnd.docker.container.image.v1+json",
    layer: "application/vnd.docker.image.rootfs.diff.tar.gzip",
};
const ARTIFACT_CONFIG: &str = "application/vnd.module.wasm.config.v1+json";
const ARTIFACT_SPEC: &str = "application/vnd.module.wasm.spec.v1+yaml";
const ARTIFACT_MODULE: &str = "application/vnd.module.wasm.content.layer.v1+wasm";

/// Writes an image of `module`, named `name`, of this version into `folder`, which is made. The digest of
/// its manifest.
///
/// ```
/// use tidegate_release::image::{write, Form};
///
/// let folder = std::env::temp_dir().join(format!("tidegate-image-{}", std::process::id()));
/// let digest = write(b"\0asm\x01\0\0\0", "tidegate-routing", "0.1.0", Form::Image, &folder).unwrap();
/// let manifest = folder.join("blobs/sha256").join(digest.hex());
/// assert!(std::fs::read_to_string(manifest).unwrap().contains("tar+gzip"));
/// # std::fs::remove_dir_all(folder).unwrap();
/// ```
///
/// # Errors
/// A file cannot be written.
pub fn write(
    module: &[u8],
    name: &str,
    version: &str,
    form: Form,
    folder: &Path,
) -> io::Result<ManifestDigest> {
    fs::create_dir_all(folder.join("blobs/sha256"))?;
    let layout = Layout { folder };
    let annotations = json!({
        "org.opencontainers.image.licenses": "Apache-2.0",
        "org.opencontainers.image.title": name,
        "org.opencontainers.image.version": version,
    });
    let (kind, config, layers) = match form {
        Form::Artifact => layout.artifact(module, name, version)?,
        Form::Docker => layout.image(module, &DOCKER)?,
        Form::Image => layout.image(module, &IMAGE)?,
    };
    let mut manifest = json!({"schemaVersion": 2, "mediaType": kind, "config": config, "layers": layers});
    if form != Form::Docker {
        // Docker's manifests have none.
        annotate(&mut manifest, annotations);
    }
    let manifest = manifest.to_string();
    let mut entry = layout.blob(kind, manifest.as_bytes())?;
    annotate(&mut entry, json!({"org.opencontainers.image.ref.name": version}));
    let index = json!({"schemaVersion": 2, "mediaType": "application/vnd.oci.image.index.v1+json", "manifests": [entry]});
    fs::write(folder.join("index.json"), index.to_string())?;
    fs::write(folder.join("oci-layout"), json!({"imageLayoutVersion": "1.0.0"}).to_string())?;
    Ok(ManifestDigest(hex(manifest.as_bytes())))
}

// === impl Layout ===

impl Layout<'_> {
    /// Writes a blob. What a manifest says of it.
    fn blob(&self, media_type: &str, bytes: &[u8]) -> io::Result<Value> {
        let digest = hex(bytes);
        fs::write(self.folder.join("blobs/sha256").join(&digest), bytes)?;
        Ok(json!({"mediaType": media_type, "digest": format!("sha256:{digest}"), "size": bytes.len()}))
    }

    /// Writes what an image has: the type of its manifest, its configuration and its layers.
    fn image(&self, module: &[u8], types: &MediaTypes) -> io::Result<(&'static str, Value, Vec<Value>)> {
        let tar = archive(module)?;
        let layer = self.blob(types.layer, &gzip(&tar)?)?;
        let config = json!({
            "architecture": "",
            "os": "",
            "created": "1970-01-01T00:00:00Z",
            "config": {},
            "rootfs": {"type": "layers", "diff_ids": [format!("sha256:{}", hex(&tar))]},
        });
        let config = self.blob(types.config, config.to_string().as_bytes())?;
        Ok((types.manifest, config, vec![layer]))
    }

    /// Writes what an artifact has.
    fn artifact(
        &self,
        module: &[u8],
        name: &str,
        version: &str,
    ) -> io::Result<(&'static str, Value, Vec<Value>)> {
        let config = json!({"type": "envoy_proxy", "abiVersions": ["v0-2-1"]});
        let config = self.blob(ARTIFACT_CONFIG, config.to_string().as_bytes())?;
        let spec = self.blob(ARTIFACT_SPEC, format!("name: {name}\nversion: {version}\n").as_bytes())?;
        let mut module = self.blob(ARTIFACT_MODULE, module)?;
        annotate(&mut module, json!({"org.opencontainers.image.title": PLUGIN}));
        Ok((OCI_MANIFEST, config, vec![spec, module]))
    }
}

// === impl ManifestDigest ===

impl ManifestDigest {
    /// Its 64 digits.
    #[must_use]
    pub fn hex(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for ManifestDigest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "sha256:{}", self.0)
    }
}

fn annotate(of: &mut Value, annotations: Value) {
    if let Value::Object(fields) = of {
        fields.insert("annotations".to_owned(), annotations);
    }
}

/// An archive with the module alone, of no time and nobody.
fn archive(module: &[u8]) -> io::Result<Vec<u8>> {
    let mut header = tar::Header::new_ustar();
    header.set_size(u64::try_from(module.len()).unwrap_or(u64::MAX));
    header.set_mode(0o644);
    header.set_mtime(0);
    let mut archive = tar::Builder::new(Vec::new());
    archive.append_data(&mut header, PLUGIN, module)?;
    archive.into_inner()
}

fn gzip(bytes: &[u8]) -> io::Result<Vec<u8>> {
    let mut encoder: GzEncoder<Vec<u8>> = GzBuilder::new().mtime(0).write(Vec::new(), Compression::best());
    encoder.write_all(bytes)?;
    encoder.finish()
}

fn hex(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Read;
    use std::path::PathBuf;

    const MODULE: &[u8] = b"\0asm\x01\0\0\0 and more";

    fn written(form: Form, to: &str) -> (PathBuf, ManifestDigest) {
        let folder = std::env::temp_dir().join(format!("tidegate-image-{to}-{}", std::process::id()));
        let digest = write(MODULE, "tidegate-routing", "0.1.0", form, &folder).unwrap();
        (folder, digest)
    }

    fn blob(folder: &Path, digest: &str) -> Vec<u8> {
        fs::read(folder.join("blobs/sha256").join(digest.trim_start_matches("sha256:"))).unwrap()
    }

    fn read(folder: &Path, digest: &ManifestDigest) -> Value {
        serde_json::from_slice(&blob(folder, &digest.to_string())).unwrap()
    }

    #[test]
    fn an_image_has_one_layer_with_the_module_in_it() {
        for (form, to) in [(Form::Image, "image"), (Form::Docker, "docker")] {
            let (folder, digest) = written(form, to);
            let manifest = read(&folder, &digest);
            let layers = manifest["layers"].as_array().unwrap();
            assert_eq!(layers.len(), 1, "{form:?}");
            let mut tar = Vec::new();
            let layer = blob(&folder, layers[0]["digest"].as_str().unwrap());
            flate2::read::GzDecoder::new(&*layer).read_to_end(&mut tar).unwrap();
            let mut archive = tar::Archive::new(&*tar);
            let mut file = archive.entries().unwrap().next().unwrap().unwrap();
            assert_eq!(file.path().unwrap().to_str(), Some(PLUGIN));
            let mut module = Vec::new();
            file.read_to_end(&mut module).unwrap();
            assert_eq!(module, MODULE);
            let config: Value =
                serde_json::from_slice(&blob(&folder, manifest["config"]["digest"].as_str().unwrap()))
                    .unwrap();
            assert_eq!(config["rootfs"]["diff_ids"][0], format!("sha256:{}", hex(&tar)));
            fs::remove_dir_all(folder).unwrap();
        }
    }

    #[test]
    fn an_artifact_has_two_layers_of_which_one_is_the_module() {
        let (folder, digest) = written(Form::Artifact, "artifact");
        let manifest = read(&folder, &digest);
        let layers = manifest["layers"].as_array().unwrap();
        let types: Vec<_> = layers.iter().map(|layer| layer["mediaType"].as_str().unwrap()).collect();
        assert_eq!(types, [ARTIFACT_SPEC, ARTIFACT_MODULE]);
        assert_eq!(blob(&folder, layers[1]["digest"].as_str().unwrap()), MODULE);
        fs::remove_dir_all(folder).unwrap();
    }

    #[test]
    fn the_same_module_gives_the_same_digest_and_each_blob_is_what_its_name_says() {
        let ((one, first), (two, second)) = (written(Form::Image, "one"), written(Form::Image, "two"));
        assert_eq!(first, second);
        for file in fs::read_dir(one.join("blobs/sha256")).unwrap() {
            let path = file.unwrap().path();
            assert_eq!(path.file_name().unwrap().to_str(), Some(&*hex(&fs::read(&path).unwrap())));
        }
        let index: Value = serde_json::from_slice(&fs::read(one.join("index.json")).unwrap()).unwrap();
        assert_eq!(index["manifests"][0]["digest"], first.to_string());
        [one, two].iter().for_each(|folder| fs::remove_dir_all(folder).unwrap());
    }
}
