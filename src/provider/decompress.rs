//! Bodies that a server compressed although nobody asked for it. The first bytes decide, not the
//! header, which some servers leave out. Pure.

use std::io::{self, Read};

use flate2::read::{DeflateDecoder, MultiGzDecoder, ZlibDecoder};

/// Decompresses one body. A compressed one is kept until its end.
pub(super) struct Decompress {
    is_deflate: bool,
    /// Decided by the first byte.
    format: Option<Format>,
    compressed: Vec<u8>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Format {
    Plain,
    Gzip,
    /// `deflate` as RFC 9110 means it.
    Zlib,
    /// `deflate` as some servers send it, without the zlib header.
    Deflate,
}

impl Decompress {
    /// Returns a decompressor for a body whose `content-encoding` header is `encoding`.
    pub(super) fn new(encoding: Option<&str>) -> Self {
        Self {
            is_deflate: encoding.is_some_and(|encoding| encoding.eq_ignore_ascii_case("deflate")),
            format: None,
            compressed: Vec::new(),
        }
    }

    /// Returns the plain bytes that these add.
    pub(super) fn push(&mut self, bytes: &[u8]) -> Vec<u8> {
        let Some(first) = bytes.first() else {
            return Vec::new();
        };
        let format = *self.format.get_or_insert(match first {
            0x1f => Format::Gzip,
            0x78 => Format::Zlib,
            _ if self.is_deflate => Format::Deflate,
            _ => Format::Plain,
        });
        if format == Format::Plain {
            return bytes.to_vec();
        }
        self.compressed.extend_from_slice(bytes);
        Vec::new()
    }

    /// Returns the number of compressed bytes kept.
    pub(super) fn kept(&self) -> usize {
        self.compressed.len()
    }

    /// Returns the plain bytes of a compressed body after its end, at most `limit` and one more.
    ///
    /// # Errors
    /// When the body is not compressed as it begins.
    pub(super) fn finish(&mut self, limit: usize) -> io::Result<Vec<u8>> {
        let compressed = std::mem::take(&mut self.compressed);
        let decoder: Box<dyn Read> = match self.format {
            None | Some(Format::Plain) => return Ok(Vec::new()),
            Some(Format::Gzip) => Box::new(MultiGzDecoder::new(&*compressed)),
            Some(Format::Zlib) => Box::new(ZlibDecoder::new(&*compressed)),
            Some(Format::Deflate) => Box::new(DeflateDecoder::new(&*compressed)),
        };
        let mut plain = Vec::new();
        decoder
            .take(limit as u64 + 1)
            .read_to_end(&mut plain)
            .map(|_| plain)
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use flate2::Compression;
    use flate2::write::{DeflateEncoder, GzEncoder, ZlibEncoder};

    use super::*;

    const BODY: &[u8] = br#"{"choices":[{"message":{"content":"{}"}}]}"#;

    fn plain(encoding: Option<&str>, body: &[u8]) -> io::Result<Vec<u8>> {
        let mut decompress = Decompress::new(encoding);
        let mut plain = Vec::new();
        for chunk in body.chunks(5) {
            plain.extend(decompress.push(chunk));
        }
        plain.extend(decompress.finish(1000)?);
        Ok(plain)
    }

    #[test]
    fn every_usual_encoding_is_read_however_it_is_split() {
        let mut gzip = GzEncoder::new(Vec::new(), Compression::default());
        let mut zlib = ZlibEncoder::new(Vec::new(), Compression::default());
        let mut deflate = DeflateEncoder::new(Vec::new(), Compression::default());
        gzip.write_all(BODY).unwrap();
        zlib.write_all(BODY).unwrap();
        deflate.write_all(BODY).unwrap();
        let gzip = gzip.finish().unwrap();
        for encoding in [None, Some("gzip"), Some("identity")] {
            assert_eq!(plain(encoding, &gzip).unwrap(), BODY);
        }
        let zlib = zlib.finish().unwrap();
        let deflate = deflate.finish().unwrap();
        assert_eq!(plain(Some("deflate"), &zlib).unwrap(), BODY);
        assert_eq!(plain(Some("deflate"), &deflate).unwrap(), BODY);
        assert_eq!(plain(None, BODY).unwrap(), BODY);
        assert!(plain(None, b"\x1fnonsense").is_err());
    }

    #[test]
    fn a_small_body_does_not_grow_beyond_the_limit() {
        let mut gzip = GzEncoder::new(Vec::new(), Compression::default());
        gzip.write_all(&vec![b' '; 1 << 20]).unwrap();
        assert_eq!(plain(None, &gzip.finish().unwrap()).unwrap().len(), 1001);
    }
}
