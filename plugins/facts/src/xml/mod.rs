//! Facts out of libvirt's XML.
//!
//! Whatever libvirt accepts is read without an error; what is not understood is kept as not understood and named.
//! Documents may come from anybody: those with a document type, too deep or too large are refused before they are
//! parsed. Nothing here asks a host.

use std::prelude::rust_2024::*;

mod capabilities;
mod devices;
mod domain;
mod inventory;
mod node;
mod secrets;

pub use capabilities::{capabilities, domain_capabilities};
pub use domain::{domain, domain_attributes};
pub use inventory::{Interface, interface, network, network_device, node_device, pool, uses_open_vswitch};
pub use secrets::{REDACTED, without_secrets};

use roxmltree::{Document, ParsingOptions};

/// Why a document is not read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
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

/// Capabilities of large hosts have about one.
const BYTES_MOST: usize = 16 << 20;
/// libvirt's own documents stay below twenty.
const DEPTH_MOST: usize = 200;
/// So many nodes are in no definition.
const NODES_MOST: u32 = 1 << 20;

/// Parses a document whose root has this name.
fn parse<'x>(xml: &'x str, wanted: &'static str) -> Result<Document<'x>, XmlError> {
    if xml.len() > BYTES_MOST {
        return Err(XmlError::TooLarge(xml.len()));
    }
    if deepest(xml) > DEPTH_MOST {
        return Err(XmlError::TooDeep);
    }
    let options = ParsingOptions { allow_dtd: false, nodes_limit: NODES_MOST, ..ParsingOptions::default() };
    let document =
        Document::parse_with_options(xml, options).map_err(|error| XmlError::Malformed(error.to_string()))?;
    let found = document.root_element().tag_name().name();
    if found == wanted {
        Ok(document)
    } else {
        Err(XmlError::Other { found: crate::printable(found), wanted })
    }
}

/// How deep the elements nest, found without parsing: the parser goes down by recursion.
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
            let end = rest.find('>').unwrap_or(rest.len());
            let empty = rest.get(..end).is_some_and(|tag| tag.ends_with('/'));
            most = most.max(depth + 1);
            depth += usize::from(!empty);
        }
    }
    most
}
