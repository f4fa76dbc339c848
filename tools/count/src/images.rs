//! Whose an instruction is: by the image that its address lies in.

/// Where instructions come from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Image {
    Envoy,
    Libraries,
    /// Code that V8 made of a module, in memory without a file.
    Module,
}

/// The executable parts of a process.
#[derive(Clone, Debug, Default)]
pub(crate) struct Images {
    /// First address, the one behind the last, and whose.
    parts: Vec<(u64, u64, Image)>,
    vdso: Option<(u64, u64)>,
}

// === impl Images ===

impl Images {
    /// From the text of `/proc/<pid>/maps`. Its first file is the program.
    pub(crate) fn parse(maps: &str) -> Self {
        let mut images = Self::default();
        let mut program = None;
        for line in maps.lines() {
            let mut words = line.split_ascii_whitespace();
            let (Some(range), Some(rights)) = (words.next(), words.next()) else { continue };
            let file = words.nth(3).unwrap_or_default();
            let address = |text: &str| u64::from_str_radix(text, 16).ok();
            let Some((start, end)) = range.split_once('-') else { continue };
            let (Some(start), Some(end)) = (address(start), address(end)) else { continue };
            program = program.or(Some(file).filter(|file| file.starts_with('/')));
            match file {
                "[vdso]" => images.vdso = Some((start, end)),
                _ if !rights.contains('x') => {}
                _ if Some(file) == program => images.parts.push((start, end, Image::Envoy)),
                _ if file.starts_with('/') => images.parts.push((start, end, Image::Libraries)),
                _ => images.parts.push((start, end, Image::Module)),
            }
        }
        // The one that most instructions are from stands first.
        images.parts.sort_by_key(|(_, _, image)| *image != Image::Envoy);
        images
    }

    /// Whose the instruction at `address` is.
    pub(crate) fn of(&self, address: u64) -> Image {
        let within = |(start, end, _): &&(u64, u64, Image)| (*start..*end).contains(&address);
        // V8 may have got further memory since.
        self.parts.iter().find(within).map_or(Image::Module, |(_, _, image)| *image)
    }

    /// The addresses of the kernel's library.
    pub(crate) fn vdso(&self) -> Option<(u64, u64)> {
        self.vdso
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_belongs_to_the_file_it_is_mapped_from() {
        let maps = "\
1000-2000 r--p 00000000 fe:00 1   /opt/envoy
2000-4000 r-xp 00001000 fe:00 1   /opt/envoy
5000-6000 rwxp 00000000 00:00 0
7000-8000 r-xp 00000000 fe:00 2   /lib/libc.so.6
9000-a000 r-xp 00000000 00:00 0   [vdso]
";
        let images = Images::parse(maps);
        assert_eq!(images.of(0x2fff), Image::Envoy);
        assert_eq!(images.of(0x5000), Image::Module);
        assert_eq!(images.of(0x7000), Image::Libraries);
        assert_eq!(images.of(0xb000), Image::Module);
        assert_eq!(images.vdso(), Some((0x9000, 0xa000)));
    }
}
