//! Reads the names of functions from the kernel's vDSO, an ELF image of 64 bits.

/// The type of a section with the symbols that an image offers.
const DYNSYM: u32 = 11;
/// Bytes of an entry of a table of symbols.
const SYMBOL: usize = 24;

/// Each function that `image` offers, with its offset in the image; none when it cannot be read.
pub(crate) fn functions(image: &[u8]) -> Vec<(String, u64)> {
    find(image).unwrap_or_default()
}

fn find(image: &[u8]) -> Option<Vec<(String, u64)>> {
    let (start, size, count) = (usize_at(image, 0x28)?, half(image, 0x3a)?, half(image, 0x3c)?);
    let section = |index: usize| image.get(start.checked_add(index.checked_mul(size)?)?..);
    let symbols = (0..count).filter_map(section).find(|header| word(header, 4) == Some(DYNSYM))?;
    let names = section(usize::try_from(word(symbols, 0x28)?).ok()?)?;
    let names = image.get(usize_at(names, 0x18)?..)?;
    let table = content(image, symbols)?;
    let symbol = |entry: &[u8]| {
        let name = names.get(usize::try_from(word(entry, 0)?).ok()?..)?;
        let end = name.iter().position(|byte| *byte == 0)?;
        let name = std::str::from_utf8(name.get(..end)?).ok()?;
        Some((name.to_owned(), long(entry, 8)?)).filter(|(name, at)| !name.is_empty() && *at > 0)
    };
    Some(table.chunks_exact(SYMBOL).filter_map(symbol).collect())
}

/// The bytes of a section.
fn content<'a>(image: &'a [u8], header: &[u8]) -> Option<&'a [u8]> {
    let (start, length) = (usize_at(header, 0x18)?, usize_at(header, 0x20)?);
    image.get(start..start.checked_add(length)?)
}

fn half(bytes: &[u8], at: usize) -> Option<usize> {
    Some(usize::from(u16::from_le_bytes(bytes.get(at..at + 2)?.try_into().ok()?)))
}

fn word(bytes: &[u8], at: usize) -> Option<u32> {
    Some(u32::from_le_bytes(bytes.get(at..at + 4)?.try_into().ok()?))
}

fn long(bytes: &[u8], at: usize) -> Option<u64> {
    Some(u64::from_le_bytes(bytes.get(at..at + 8)?.try_into().ok()?))
}

fn usize_at(bytes: &[u8], at: usize) -> Option<usize> {
    usize::try_from(long(bytes, at)?).ok()
}

#[cfg(test)]
mod tests {
    use std::fs::{self, File};
    use std::os::unix::fs::FileExt;

    use super::*;
    use crate::images::Images;

    #[test]
    fn the_kernels_vdso_offers_its_clock() {
        let images = Images::parse(&fs::read_to_string("/proc/self/maps").unwrap());
        let (start, end) = images.vdso().expect("a vDSO");
        let mut image = vec![0; usize::try_from(end - start).unwrap()];
        File::open("/proc/self/mem").unwrap().read_exact_at(&mut image, start).unwrap();
        assert!(functions(&image).iter().any(|(name, _)| name.ends_with("clock_gettime")));
    }

    #[test]
    fn an_image_that_is_cut_offers_nothing() {
        assert_eq!(functions(b"\x7fELF"), []);
        assert_eq!(functions(&[0xff; 200]), []);
    }
}
