//! Bodies that a server compressed although nobody asked for it. The first bytes decide, not the
//! header, which some servers leave out. Pure.

use std::io::{self, Read};

use flate2::read::{DeflateDecoder, MultiGzDecoder, ZlibDecoder};

/// The most encodings around one body. A proxy that compresses a compressed body makes two.
const MOST_LAYERS: usize = 4;

/// Decompresses one body. A compressed one is kept until its end.
pub(super) struct Decompress {
    /// The encodings in the header, in lower case, the outermost last.
    encodings: Vec<String>,
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
    /// An encoding that is not supported.
    Foreign,
}

impl Format {
    /// Returns the format of a body that begins with `first`, inside the encodings.
    fn of(first: u8, encodings: &[String]) -> Self {
        let outermost = encodings.last().map(String::as_str);
        match (first, outermost) {
            (0x1f, _) => Self::Gzip,
            (0x78, _) => Self::Zlib,
            (b'{' | b'[' | b'd' | b'e' | b':' | b'<', Some("br" | "zstd" | "compress")) => {
                Self::Plain
            }
            (_, Some("br" | "zstd" | "compress")) => Self::Foreign,
            (_, Some("deflate")) => Self::Deflate,
            _ => Self::Plain,
        }
    }
}

impl Decompress {
    /// Returns a decompressor for a body whose `content-encoding` header is `encoding`.
    pub(super) fn new(encoding: Option<&str>) -> Self {
        let names = encoding.unwrap_or_default().split(',');
        let names = names.map(|name| name.trim().to_ascii_lowercase());
        Self {
            encodings: names.filter(|name| !name.is_empty()).collect(),
            format: None,
            compressed: Vec::new(),
        }
    }

    /// Returns the plain bytes that these add.
    pub(super) fn push(&mut self, bytes: &[u8]) -> Vec<u8> {
        let Some(first) = bytes.first() else {
            return Vec::new();
        };
        let format = *self
            .format
            .get_or_insert_with(|| Format::of(*first, &self.encodings));
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
    /// When the body is not compressed as it begins, in an encoding that is not supported, or more
    /// than [`MOST_LAYERS`] times.
    pub(super) fn finish(&mut self, limit: usize) -> io::Result<Vec<u8>> {
        let mut body = std::mem::take(&mut self.compressed);
        let Some(mut format) = self.format else {
            return Ok(Vec::new());
        };
        if format == Format::Plain {
            return Ok(Vec::new());
        }
        for _ in 0..MOST_LAYERS {
            body = self.layer(format, &body, limit)?;
            self.encodings.pop();
            let inner = body
                .first()
                .map(|first| Format::of(*first, &self.encodings));
            match inner {
                None | Some(Format::Plain) => return Ok(body),
                // A header may name an encoding more often than it was applied.
                Some(Format::Deflate) if is_text(&body) => return Ok(body),
                Some(inner) => format = inner,
            }
        }
        let why = format!("it is compressed more than {MOST_LAYERS} times");
        Err(io::Error::other(why))
    }

    /// Removes one encoding.
    fn layer(&self, format: Format, body: &[u8], limit: usize) -> io::Result<Vec<u8>> {
        let decoder: Box<dyn Read + '_> = match format {
            Format::Plain => return Ok(body.to_vec()),
            Format::Foreign => {
                let name = self.encodings.last().map_or("", String::as_str);
                let why = format!("the encoding `{name}` is not supported");
                return Err(io::Error::other(why));
            }
            Format::Gzip => Box::new(MultiGzDecoder::new(body)),
            Format::Zlib => Box::new(ZlibDecoder::new(body)),
            Format::Deflate => Box::new(DeflateDecoder::new(body)),
        };
        let mut plain = Vec::new();
        decoder
            .take(limit as u64 + 1)
            .read_to_end(&mut plain)
            .map(|_| plain)
    }
}

/// Returns whether a body begins as an answer does, and not as a compressed one.
fn is_text(body: &[u8]) -> bool {
    let first = body.iter().find(|byte| !byte.is_ascii_whitespace());
    first.is_some_and(|byte| matches!(byte, b'{' | b'[' | b'd' | b'e' | b':' | b'<' | 0xef))
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
    fn a_body_that_was_compressed_several_times_is_read() {
        fn gzip(body: &[u8]) -> Vec<u8> {
            let mut gzip = GzEncoder::new(Vec::new(), Compression::default());
            gzip.write_all(body).unwrap();
            gzip.finish().unwrap()
        }
        fn deflate(body: &[u8]) -> Vec<u8> {
            let mut deflate = DeflateEncoder::new(Vec::new(), Compression::default());
            deflate.write_all(body).unwrap();
            deflate.finish().unwrap()
        }
        let (once, twice) = (gzip(BODY), gzip(&gzip(BODY)));
        for encoding in [None, Some("gzip"), Some("gzip, gzip"), Some("GZIP,gzip")] {
            assert_eq!(plain(encoding, &twice).unwrap(), BODY, "{encoding:?}");
            assert_eq!(plain(encoding, &once).unwrap(), BODY, "{encoding:?}");
        }
        let mixed = [
            ("deflate, gzip", gzip(&deflate(BODY))),
            ("gzip, deflate", deflate(&gzip(BODY))),
            ("deflate, deflate", deflate(&deflate(BODY))),
            ("deflate, deflate", deflate(BODY)),
            ("identity, gzip", gzip(BODY)),
            ("br", BODY.to_vec()),
        ];
        for (encoding, body) in mixed {
            assert_eq!(plain(Some(encoding), &body).unwrap(), BODY, "{encoding}");
        }
        let often = (0..6).fold(BODY.to_vec(), |body, _| gzip(&body));
        let why = |encoding, body: &[u8]| plain(encoding, body).unwrap_err().to_string();
        assert!(why(None, &often).contains("more than 4 times"));
        assert!(why(Some("br"), b"\x0b\x02\x80").contains("`br` is not supported"));
    }

    #[test]
    fn a_small_body_does_not_grow_beyond_the_limit() {
        let mut gzip = GzEncoder::new(Vec::new(), Compression::default());
        gzip.write_all(&vec![b' '; 1 << 20]).unwrap();
        assert_eq!(plain(None, &gzip.finish().unwrap()).unwrap().len(), 1001);
    }
}
