//! Facts out of libvirt's XML.
//!
//! Whatever libvirt accepts is read without an error; what is not understood is kept as not understood and named.
//! Documents may come from anybody: those with a document type, too deep or too large are refused before anything is
//! taken from them. This file is the only place that calls the parser; no other may, in this package or outside of it.
//! Nothing here asks a host.

use std::prelude::rust_2024::*;

mod backing;
mod capabilities;
pub mod coverage;
mod definition;
mod devices;
mod difference;
mod domain;
mod inventory;
mod node;
mod parts;
mod secrets;

pub use capabilities::{capabilities, capabilities_attributes, domain_capabilities};
pub use difference::differences;
pub use domain::{domain, domain_attributes, domain_with_attributes, target_attributes};
pub use inventory::{
    Interface, interface, network, network_attributes, network_device, node_device, pool, pool_filesystem,
    uses_open_vswitch,
};
pub use parts::{
    NamedStorage, StorageDevice, cpu_with_model, named_storage, network_disk, root_attributes, storage_device,
};
pub use secrets::{REDACTED, without_secrets};

use roxmltree::{Document, ParsingOptions};

/// Why a document is not read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum XmlError {
    /// Larger than any definition.
    #[error("the document has {0} bytes, and at most {BYTES_MOST} are read")]
    TooLarge(usize),
    /// Deeper than any definition.
    #[error("the document nests deeper than {DEPTH_MOST} elements")]
    TooDeep,
    /// Not XML, or with a document type, whose entities could stand for anything.
    #[error("not well-formed XML without a document type: {0}")]
    Malformed(String),
    /// XML of something else.
    #[error("the document is a `<{found}>`, and a `<{wanted}>` is wanted")]
    Other {
        /// What it is.
        found: String,
        /// What it should be.
        wanted: &'static str,
    },
}

/// In bytes. Capabilities of large hosts have about one MiB.
const BYTES_MOST: usize = 16 << 20;
/// In elements inside of one another. libvirt's own documents stay below twenty.
const DEPTH_MOST: usize = 200;
/// Elements, texts and comments. So many are in no definition.
const NODES_MOST: u32 = 1 << 20;

/// Parses a document whose root has this name.
fn parse<'x>(xml: &'x str, wanted: &'static str) -> Result<Document<'x>, XmlError> {
    let document = guarded(xml)?;
    let found = document.root_element().tag_name().name();
    if found == wanted {
        Ok(document)
    } else {
        Err(XmlError::Other { found: crate::printable(found), wanted })
    }
}

/// Parses a document that is not hostile, whatever it is.
fn guarded(xml: &str) -> Result<Document<'_>, XmlError> {
    if xml.len() > BYTES_MOST {
        return Err(XmlError::TooLarge(xml.len()));
    }
    if deepest(xml) > DEPTH_MOST {
        return Err(XmlError::TooDeep);
    }
    let options = ParsingOptions { allow_dtd: false, nodes_limit: NODES_MOST, ..ParsingOptions::default() };
    Document::parse_with_options(xml, options).map_err(|error| XmlError::Malformed(error.to_string()))
}

/// How deep the elements nest, found without parsing. Never less than it is in a document that is well-formed.
fn deepest(xml: &str) -> usize {
    let (mut depth, mut most) = (0_usize, 0);
    let mut rest = xml;
    while let Some(at) = rest.find('<') {
        rest = rest.get(at + 1..).unwrap_or_default();
        let skipped = [("!--", "-->"), ("![CDATA[", "]]>"), ("?", "?>")]
            .into_iter()
            .find(|(begin, _)| rest.starts_with(begin));
        if let Some((_, end)) = skipped {
            rest = rest.find(end).and_then(|at| rest.get(at..)).unwrap_or_default();
        } else if rest.starts_with('/') {
            depth = depth.saturating_sub(1);
        } else {
            let (tag, after) = rest.split_at_checked(end_of_tag(rest)).unwrap_or((rest, ""));
            most = most.max(depth + 1);
            depth += usize::from(!tag.ends_with('/'));
            rest = after;
        }
    }
    most
}

/// Where the tag that begins here ends. Values of attributes may hold what looks like its end.
fn end_of_tag(tag: &str) -> usize {
    let mut quote = None;
    let end = tag.bytes().position(|byte| match (quote, byte) {
        (None, b'>') => true,
        (None, b'"' | b'\'') => {
            quote = Some(byte);
            false
        }
        (Some(open), byte) => {
            quote = quote.filter(|_| byte != open);
            false
        }
        (None, _) => false,
    });
    end.unwrap_or(tag.len())
}
