//! Definitions without their secrets, for what is written down.
//!
//! The document is written again from what was parsed; comments and processing instructions are left out. It must
//! never be given to a hypervisor where something was taken out: see [`REDACTED`].

use std::prelude::rust_2024::*;

use std::fmt::Write as _;

use roxmltree::{Attribute, Node};

use super::{XmlError, parse};

/// Stands where a secret stood. A definition that holds it is not the whole definition.
pub const REDACTED: &str = "[redacted by whimbrel]";

/// Elements whose whole content is taken out: credentials of HTTP disks, launch secrets of encrypted guests, and what
/// management programs keep for themselves.
const SECRET_ELEMENTS: [&str; 4] = ["cookie", "session", "dhCert", "metadata"];
/// Namespaces of hypervisors' own arguments and variables.
const ARGUMENTS: &str = "http://libvirt.org/schemas/domain/";
const XML: &str = "http://www.w3.org/XML/1998/namespace";

/// A domain's definition without passwords (`passwd` and the like), hypervisors' own arguments and variables, what firmware
/// receives (`sysinfo`), cookies, launch secrets and metadata.
///
/// # Errors
/// When it is not the XML of a domain.
pub fn without_secrets(xml: &str) -> Result<String, XmlError> {
    let document = parse(xml, "domain")?;
    let mut out = String::with_capacity(xml.len());
    let mut steps = vec![Step::Open(document.root_element(), false)];
    while let Some(step) = steps.pop() {
        match step {
            Step::Close(name) => {
                let _ = write!(out, "</{name}>");
            }
            Step::Open(node, inside) if node.is_element() => {
                let is_secret = inside || holds_secrets(node);
                let name = qualified(node);
                let _ = write!(out, "<{name}");
                namespaces(node, &mut out);
                for attribute in node.attributes() {
                    let hidden = is_secret || is_secret_attribute(node, attribute);
                    let value = if hidden { REDACTED } else { attribute.value() };
                    let prefix = attribute.namespace().and_then(|uri| node.lookup_prefix(uri));
                    let colon = prefix.map(|prefix| format!("{prefix}:")).unwrap_or_default();
                    let _ = write!(out, " {colon}{}='{}'", attribute.name(), escaped(value));
                }
                out.push('>');
                steps.push(Step::Close(name));
                steps.extend(node.children().rev().map(|child| Step::Open(child, is_secret)));
            }
            Step::Open(node, inside) => {
                let text = node.text().filter(|_| node.is_text()).unwrap_or_default();
                let hidden = inside && !text.trim().is_empty();
                out.push_str(&escaped(if hidden { REDACTED } else { text }));
            }
        }
    }
    Ok(out)
}

enum Step<'a, 'x> {
    /// A node, and whether it is inside of what is taken out.
    Open(Node<'a, 'x>, bool),
    Close(String),
}

pub(super) fn holds_secrets(node: Node<'_, '_>) -> bool {
    let name = node.tag_name().name();
    let in_sysinfo = || node.ancestors().any(|above| above.tag_name().name() == "sysinfo");
    SECRET_ELEMENTS.contains(&name) || (name == "entry" && in_sysinfo())
}

pub(super) fn is_secret_attribute(node: Node<'_, '_>, attribute: Attribute<'_, '_>) -> bool {
    let name = attribute.name().to_ascii_lowercase();
    let is_argument = node.tag_name().namespace().is_some_and(|uri| uri.starts_with(ARGUMENTS));
    name.contains("passw") || name.contains("passphrase") || (is_argument && name == "value")
}

pub(super) fn qualified(node: Node<'_, '_>) -> String {
    let prefix = node.tag_name().namespace().and_then(|uri| node.lookup_prefix(uri));
    let name = node.tag_name().name();
    prefix.map_or_else(|| name.to_owned(), |prefix| format!("{prefix}:{name}"))
}

/// The namespaces that begin at an element.
fn namespaces(node: Node<'_, '_>, out: &mut String) {
    let above = node.parent_element();
    for space in node.namespaces().filter(|space| space.uri() != XML) {
        if above.is_some_and(|above| above.namespaces().any(|known| known == space)) {
            continue;
        }
        let prefix = space.name().map(|name| format!(":{name}")).unwrap_or_default();
        let _ = write!(out, " xmlns{prefix}='{}'", escaped(space.uri()));
    }
}

fn escaped(text: &str) -> String {
    text.chars().fold(String::with_capacity(text.len()), |mut out, c| {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '\'' => out.push_str("&apos;"),
            '\r' => out.push_str("&#13;"),
            other => out.push(other),
        }
        out
    })
}

#[cfg(test)]
mod tests {
    use super::super::domain;
    use super::{REDACTED, without_secrets};

    const WHOLE: &str = "<?xml version='1.0'?>
<domain type='kvm' xmlns:qemu='http://libvirt.org/schemas/domain/qemu/1.0'>
  <!-- the password is Secret1 --><name>a &amp; b</name><uuid>5a3b9c1e-0000-4000-8000-000000000001</uuid>
  <metadata><x:own xmlns:x='urn:x' token='Secret2'>Secret3</x:own></metadata>
  <sysinfo type='smbios'><oemStrings><entry>io.systemd.credential:pw=Secret4</entry></oemStrings></sysinfo>
  <os><type arch='x86_64' machine='pc-q35-7.2'>hvm</type></os>
  <devices>
    <disk type='network' device='disk'><source protocol='https' name='x'><host name='h' port='443'/>
      <cookies><cookie name='c'>Secret5</cookie></cookies></source><target dev='vda'/></disk>
    <graphics type='vnc' passwd='Secret6' listen='127.0.0.1'/><graphics type='spice' pass&#119;d='x'/>
  </devices>
  <qemu:commandline><qemu:arg value='-object'/><qemu:arg value='secret,data=Secret7'/>
    <qemu:env name='K' value='Secret8'/></qemu:commandline>
  <launchSecurity type='sev'><session><![CDATA[Secret9]]></session></launchSecurity>
</domain>";

    #[test]
    fn secrets_are_taken_out_and_the_rest_stays() {
        let whole = WHOLE.replace("pass&#119;d", "PASSWD");
        let redacted = without_secrets(&whole).unwrap();
        assert!(!redacted.contains("Secret"), "{redacted}");
        assert_eq!(redacted.matches(REDACTED).count(), 11, "{redacted}");
        let (before, after) = (domain(&whole).unwrap(), domain(&redacted).unwrap());
        assert_eq!(before.name, "a & b");
        assert_eq!((before.name, before.uuid, before.machine), (after.name, after.uuid, after.machine));
        assert_eq!((before.disks, before.graphics), (after.disks, after.graphics));
        assert_eq!(without_secrets(&redacted).unwrap(), redacted);
    }

    #[test]
    fn a_definition_without_secrets_stays_usable_and_others_are_refused() {
        let plain = "<domain><name>a</name><devices><graphics type='vnc'/></devices></domain>";
        let kept = without_secrets(plain).unwrap();
        assert!(!kept.contains(REDACTED) && domain(&kept).unwrap().name == "a", "{kept}");
        for text in ["", "passwd='x'", "<network/>", "<!DOCTYPE a [<!ENTITY e 'x'>]><domain>&e;</domain>"] {
            assert!(without_secrets(text).is_err(), "{text}");
        }
    }
}
