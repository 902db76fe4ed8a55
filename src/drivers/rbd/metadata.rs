//! Metadata of an image: what says whose it is, and the settings of librbd (`conf_…`, QoS limits among them). Blocking,
//! as all of [`Image`].
#![allow(unsafe_code)]

use std::collections::BTreeMap;

use super::connection::c_string;
use super::errno::{ENOENT, ERANGE, check};
use super::image::Image;
use crate::error::Result;

impl Image {
    /// All metadata.
    ///
    /// # Errors
    /// See [`Image::size_bytes`].
    pub fn metadata(&self) -> Result<BTreeMap<String, String>> {
        const PAGE: u64 = 64;
        let mut all = BTreeMap::new();
        let mut start = String::new();
        loop {
            let page = self.metadata_page(&start, PAGE)?;
            let Some((last, _)) = page.last() else { return Ok(all) };
            start.clone_from(last);
            let done = (page.len() as u64) < PAGE;
            all.extend(page);
            if done {
                return Ok(all);
            }
        }
    }

    fn metadata_page(&self, start: &str, max: u64) -> Result<Vec<(String, String)>> {
        let c_start = c_string(start)?;
        let (mut keys, mut values) = (vec![0_u8; 4096], vec![0_u8; 4096]);
        loop {
            let (mut key_bytes, mut value_bytes) = (keys.len(), values.len());
            // SAFETY: the image is open, the string terminated, both buffers are writable for the lengths given.
            let code = unsafe {
                (self.api().rbd_metadata_list)(
                    self.handle(),
                    c_start.as_ptr(),
                    max,
                    keys.as_mut_ptr().cast(),
                    &raw mut key_bytes,
                    values.as_mut_ptr().cast(),
                    &raw mut value_bytes,
                )
            };
            if code == -ERANGE {
                keys.resize(key_bytes.max(keys.len()) + 256, 0);
                values.resize(value_bytes.max(values.len()) + 256, 0);
                continue;
            }
            check(code, || format!("read the metadata of RBD image {}", self.label()))?;
            return Ok(strings(&keys[..key_bytes]).into_iter().zip(strings(&values[..value_bytes])).collect());
        }
    }

    /// Sets one item of metadata.
    ///
    /// # Errors
    /// See [`Image::size_bytes`].
    pub fn set_metadata(&self, key: &str, value: &str) -> Result<()> {
        let (c_key, c_value) = (c_string(key)?, c_string(value)?);
        // SAFETY: the image is open, both strings terminated.
        let code = unsafe { (self.api().rbd_metadata_set)(self.handle(), c_key.as_ptr(), c_value.as_ptr()) };
        check(code, || format!("set metadata {key} of RBD image {}", self.label()))?;
        Ok(())
    }

    /// Removes one item of metadata; an absent one counts as removed.
    ///
    /// # Errors
    /// See [`Image::size_bytes`].
    pub fn remove_metadata(&self, key: &str) -> Result<()> {
        let c_key = c_string(key)?;
        // SAFETY: the image is open, the string terminated.
        let code = unsafe { (self.api().rbd_metadata_remove)(self.handle(), c_key.as_ptr()) };
        if code != -ENOENT {
            check(code, || format!("remove metadata {key} of RBD image {}", self.label()))?;
        }
        Ok(())
    }
}

/// Takes apart what C wrote as one terminated string after another.
fn strings(buffer: &[u8]) -> Vec<String> {
    let Some(body) = buffer.strip_suffix(&[0]) else { return Vec::new() };
    body.split(|byte| *byte == 0).map(|text| String::from_utf8_lossy(text).into_owned()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn terminated_strings_are_taken_apart_and_empty_ones_kept() {
        assert_eq!(strings(b"a\0\0c\0"), ["a", "", "c"]);
        assert_eq!(strings(b"\0"), [""]);
        assert!(strings(b"").is_empty());
    }
}
