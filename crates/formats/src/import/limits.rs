//! How much of a file is read.

/// How much may be in a file that is read. What goes beyond is an error, never cut off silently.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ImportLimits {
    /// Characters of text. A thousand pages have about three million.
    pub max_characters: usize,
    /// Paragraphs, headings, list items, tables.
    pub max_blocks: usize,
    /// Pages or slides.
    pub max_pages: u32,
    /// All that is unpacked from an archive, in bytes.
    pub max_uncompressed_bytes: u64,
    /// One file unpacked from an archive, in bytes: it is held in memory as a whole.
    pub max_entry_bytes: u64,
    /// Files in an archive.
    pub max_entries: usize,
    /// Elements of XML inside each other. Office documents need about 50.
    pub max_depth: usize,
}

impl Default for ImportLimits {
    /// Our own figures: larger than any textbook, small enough for 512 MB of memory.
    fn default() -> Self {
        Self {
            max_characters: 10_000_000,
            max_blocks: 300_000,
            max_pages: 5_000,
            max_uncompressed_bytes: 512 << 20,
            max_entry_bytes: 64 << 20,
            max_entries: 20_000,
            max_depth: 256,
        }
    }
}
