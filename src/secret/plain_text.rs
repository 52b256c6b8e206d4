//! The text of a file that a person has written: UTF-8, or the reason why it is none.

/// The reason why the bytes of a file are no text.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NotUtf8 {
    /// Every character has two bytes, as some editors and shells of Windows write it.
    #[error("it is UTF-16 text: save it as UTF-8, or convert it with `iconv -f UTF-16 -t UTF-8`")]
    Utf16,
    /// A byte that no UTF-8 text has there: the file has another encoding, or is no text.
    #[error(
        "the byte 0x{byte:02x} in line {line} is not UTF-8: save the file as UTF-8, or convert it, \
         from Latin-1 for example with `iconv -f LATIN1 -t UTF-8`"
    )]
    Byte {
        /// Line of the byte, counted from 1.
        line: usize,
        /// Value of the byte.
        byte: u8,
    },
}

/// Returns the bytes as text, without the mark at its beginning that some editors write.
///
/// # Errors
/// If they are not UTF-8.
pub fn decode(bytes: Vec<u8>) -> Result<String, NotUtf8> {
    if bytes.starts_with(&[0xff, 0xfe]) || bytes.starts_with(&[0xfe, 0xff]) {
        return Err(NotUtf8::Utf16);
    }
    // Without a mark at its beginning, UTF-16 of Latin letters has a zero beside each letter.
    if let [first, second, ..] = bytes[..]
        && (first == 0) != (second == 0)
    {
        return Err(NotUtf8::Utf16);
    }
    let text = String::from_utf8(bytes).map_err(|error| {
        let at = error.utf8_error().valid_up_to();
        let bytes = error.as_bytes();
        NotUtf8::Byte {
            line: 1 + String::from_utf8_lossy(&bytes[..at]).matches('\n').count(),
            byte: bytes.get(at).copied().unwrap_or_default(),
        }
    })?;
    match text.strip_prefix('\u{feff}') {
        Some(text) => Ok(text.to_owned()),
        None => Ok(text),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_of_another_encoding_is_named_with_its_line() {
        let utf_16: Vec<u8> = "ab".encode_utf16().flat_map(u16::to_le_bytes).collect();
        let marked = [&[0xff, 0xfe][..], &utf_16].concat();
        assert_eq!(decode(utf_16), Err(NotUtf8::Utf16));
        assert_eq!(decode(marked), Err(NotUtf8::Utf16));
        let latin = b"a\nk\xfcche".to_vec();
        assert_eq!(
            decode(latin),
            Err(NotUtf8::Byte {
                line: 2,
                byte: 0xfc
            })
        );
        assert_eq!(decode("küche".into()).as_deref(), Ok("küche"));
        assert_eq!(decode("\u{feff}key".into()).as_deref(), Ok("key"));
    }
}
