//! Inspects a component without compiling or running any of it.

use wasmparser::{Parser, Payload};
use whimbrel_facts::printable;
use wit_component::DecodedWasm;
use wit_parser::WorldItem;

/// The contract's package and interface, as components name it.
pub const CONTRACT: &str = "whimbrel:rules/pack@1.0.0";
const PACKAGE: &str = "whimbrel:rules/pack@";

/// The result of an inspection.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Inspection {
    /// Size in bytes.
    pub bytes: usize,
    /// Its custom sections, each with its size in bytes.
    pub custom_sections: Vec<(String, usize)>,
}

/// Why a component is refused before anything of it is compiled.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// It is too large.
    #[error("the pack has {bytes} bytes, and at most {most} are taken")]
    TooLarge {
        /// Its size in bytes.
        bytes: usize,
        /// The limit in bytes.
        most: usize,
    },
    /// It is not a component, or a damaged one.
    #[error("the pack is not a sound component: {0}")]
    Unsound(String),
    /// It imports something from the host.
    #[error("the pack imports {}, and a pack may import nothing", .0.join(", "))]
    Imports(Vec<String>),
    /// It is built for another version of the contract, or for none.
    #[error("the pack exports {found}, and this host takes {CONTRACT}")]
    Contract {
        /// The interfaces that it exports.
        found: String,
    },
}

/// Inspects a component. It is untrusted: nothing of it is run.
///
/// # Errors
/// When it is to be refused.
pub fn inspect(bytes: &[u8], most: usize) -> Result<Inspection, Refusal> {
    if bytes.len() > most {
        return Err(Refusal::TooLarge { bytes: bytes.len(), most });
    }
    let unsound = |error: &dyn std::fmt::Display| Refusal::Unsound(printable(&error.to_string()));
    wasmparser::Validator::new().validate_all(bytes).map_err(|error| unsound(&error))?;
    let mut custom_sections = Vec::new();
    let (mut depth, mut imports) = (0_usize, Vec::new());
    for payload in Parser::new(0).parse_all(bytes) {
        match payload.map_err(|error| unsound(&error))? {
            Payload::ModuleSection { .. } | Payload::ComponentSection { .. } => depth += 1,
            Payload::End(_) => depth = depth.saturating_sub(1),
            Payload::CustomSection(section) if depth == 0 => {
                custom_sections.push((printable(section.name()), section.data().len()));
            }
            Payload::ImportSection(section) if depth == 0 => {
                imports.push(format!("{} modules", section.count()));
            }
            Payload::ComponentImportSection(section) if depth == 0 => {
                for import in section {
                    imports.push(printable(import.map_err(|error| unsound(&error))?.name.name));
                }
            }
            _ => {}
        }
    }
    if !imports.is_empty() {
        return Err(Refusal::Imports(imports));
    }
    exports(bytes)?;
    Ok(Inspection { bytes: bytes.len(), custom_sections })
}

fn exports(bytes: &[u8]) -> Result<(), Refusal> {
    let decoded =
        wit_component::decode(bytes).map_err(|error| Refusal::Unsound(printable(&format!("{error:#}"))))?;
    let DecodedWasm::Component(resolve, world) = decoded else {
        return Err(Refusal::Unsound("it holds a contract and no code".to_owned()));
    };
    let world = resolve.worlds.get(world).ok_or_else(|| Refusal::Unsound("it has no world".to_owned()))?;
    let mut found = Vec::new();
    for (key, item) in &world.exports {
        match item {
            WorldItem::Interface { .. } => found.push(resolve.name_world_key(key)),
            WorldItem::Function(function) => found.push(function.name.clone()),
            WorldItem::Type { .. } => {}
        }
    }
    if found.iter().any(|name| name == CONTRACT) {
        return Ok(());
    }
    let ours: Vec<String> = found.iter().filter(|name| name.starts_with(PACKAGE)).cloned().collect();
    let found = if ours.is_empty() { found } else { ours };
    let found = if found.is_empty() { "nothing".to_owned() } else { printable(&found.join(", ")) };
    Err(Refusal::Contract { found })
}
