//! The capabilities and parameters of a recording as the engine's configuration.
//!
//! What changes nothing that is compared is passed over by name; everything else that the engine does not have must be
//! said, in words, and never be run without.

use std::num::NonZeroU64;

use serde_json::Value;

use super::row::RowSetup;
use whimbrel_sim::qemu::{AutoConverge, Channels, DirtyLimit, Postcopy, SourceConfig, Xbzrle};

/// Capabilities that change neither what is sent nor when.
const WITHOUT_EFFECT: [&str; 5] =
    ["events", "late-block-activate", "release-ram", "return-path", "validate-uuid"];
/// Parameters that change neither.
const PARAMETERS_WITHOUT_EFFECT: [&str; 8] = [
    "announce-initial",
    "announce-max",
    "announce-rounds",
    "announce-step",
    "block-incremental",
    "tls-authz",
    "tls-creds",
    "tls-hostname",
];
/// What a thread needs to compress a page that hardly compresses and one that is mostly repetition, in ns, with the
/// lowest level: the order of magnitude that zlib's and zstd's authors give for one core. No recording of an idle guest
/// shows it.
const ZLIB_NS_PER_PAGE: [u64; 2] = [60_000, 13_000];
const ZSTD_NS_PER_PAGE: [u64; 2] = [8_000, 4_000];
/// A page of fewer compressed bytes is mostly repetition.
const REPETITION_BYTES: u64 = 1024;

/// The requested configuration, on the default host.
///
/// # Errors
///
/// What the engine does not have, in words.
pub(super) fn configuration(setup: &RowSetup, compressed_page_bytes: u64) -> Result<SourceConfig, String> {
    let mut config = SourceConfig {
        max_bandwidth_bytes_per_second: setup.bw,
        downtime_limit_ms: setup.dl,
        ..SourceConfig::default()
    };
    let (mut preempt, mut zero_copy, mut foreign) = (false, false, Vec::new());
    for name in setup.capabilities() {
        match name {
            "auto-converge" => config.auto_converge = Some(AutoConverge::default()),
            "dirty-limit" => config.dirty_limit = Some(DirtyLimit::default()),
            "xbzrle" => config.xbzrle = Some(Xbzrle::default()),
            "multifd" => config.channels = Some(Channels::default()),
            "postcopy-ram" => config.postcopy = Some(Postcopy::default()),
            "postcopy-preempt" => preempt = true,
            "zero-copy-send" => zero_copy = true,
            "pause-before-switchover" => config.pause_before_switchover = true,
            name if WITHOUT_EFFECT.contains(&name) => {}
            name => foreign.push(name),
        }
    }
    if !foreign.is_empty() {
        return Err(format!("the engine has no `{}`", foreign.join("`, `")));
    }
    if let Some(postcopy) = &mut config.postcopy {
        postcopy.preempt = preempt;
    }
    if let Some(channels) = &mut config.channels {
        channels.zero_copy = zero_copy;
    }
    if setup.pc_at.is_some() && config.postcopy.is_none() {
        return Err("the switch to post-copy was requested without `postcopy-ram`".to_owned());
    }
    for (name, value) in setup.params.iter().flatten() {
        set(&mut config, name, value, compressed_page_bytes)?;
    }
    Ok(config)
}

/// Sets one parameter. Those of a capability that is off mean nothing.
fn set(
    config: &mut SourceConfig,
    name: &str,
    value: &Value,
    compressed_page_bytes: u64,
) -> Result<(), String> {
    let number =
        || value.as_u64().ok_or_else(|| format!("the parameter `{name}` is {value}, no whole number"));
    match name {
        "cpu-throttle-initial" => {
            assign(&mut config.auto_converge, |rules| &mut rules.initial_percent, number()?);
        }
        "cpu-throttle-increment" => {
            assign(&mut config.auto_converge, |rules| &mut rules.increment_percent, number()?);
        }
        "max-cpu-throttle" => assign(&mut config.auto_converge, |rules| &mut rules.max_percent, number()?),
        "throttle-trigger-threshold" => {
            let percent = number()?;
            assign(&mut config.auto_converge, |rules| &mut rules.trigger_threshold_percent, percent);
            assign(&mut config.dirty_limit, |rules| &mut rules.trigger_threshold_percent, percent);
        }
        "cpu-throttle-tailslow" => {
            let tailslow = value
                .as_bool()
                .ok_or_else(|| format!("the parameter `{name}` is {value}, no truth value"))?;
            assign(&mut config.auto_converge, |rules| &mut rules.tailslow, tailslow);
        }
        "xbzrle-cache-size" => assign(&mut config.xbzrle, |xbzrle| &mut xbzrle.cache_bytes, number()?),
        "multifd-channels" => {
            assign(&mut config.channels, |channels| &mut channels.count, number()?.clamp(1, 255));
        }
        "multifd-compression" => {
            let ns = compression_ns(value, compressed_page_bytes)?;
            assign(&mut config.channels, |channels| &mut channels.compression_ns_per_page, ns);
        }
        "max-postcopy-bandwidth" => {
            assign(&mut config.postcopy, |postcopy| &mut postcopy.max_bandwidth_bytes_per_second, number()?);
        }
        "vcpu-dirty-limit" => {
            let bytes = number()?.saturating_mul(1 << 20);
            assign(&mut config.dirty_limit, |rules| &mut rules.vcpu_bytes_per_second, bytes);
        }
        "x-vcpu-dirty-limit-period" => {
            let ns = number()?.saturating_mul(1_000_000);
            assign(&mut config.dirty_limit, |rules| &mut rules.period_ns, ns);
        }
        "avail-switchover-bandwidth" => {
            config.switchover_bandwidth_bytes_per_second = NonZeroU64::new(number()?);
        }
        // The level that the cost of a page is for.
        "multifd-zlib-level" | "multifd-zstd-level" if number()? == 1 => {}
        name if PARAMETERS_WITHOUT_EFFECT.contains(&name) => {}
        name => return Err(format!("the engine has no parameter `{name}` of {value}")),
    }
    Ok(())
}

fn assign<F, T>(feature: &mut Option<F>, field: impl Fn(&mut F) -> &mut T, value: T) {
    if let Some(feature) = feature {
        *field(feature) = value;
    }
}

fn compression_ns(value: &Value, compressed_page_bytes: u64) -> Result<Option<u64>, String> {
    let of =
        |[hardly, easily]: [u64; 2]| if compressed_page_bytes < REPETITION_BYTES { easily } else { hardly };
    match value.as_str() {
        Some("none") => Ok(None),
        Some("zlib") => Ok(Some(of(ZLIB_NS_PER_PAGE))),
        Some("zstd") => Ok(Some(of(ZSTD_NS_PER_PAGE))),
        _ => Err(format!("the engine has no compression {value}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(extra: &str) -> Result<SourceConfig, String> {
        let text = format!("{{\"ram\":64,\"append\":\"\",\"bw\":1000,\"dl\":70,\"timeout\":5,{extra}}}");
        configuration(&serde_json::from_str(&text).unwrap(), 64)
    }

    #[test]
    fn what_was_asked_for_is_configured() {
        let config = of(r#""caps":{"auto-converge":true,"xbzrle":true,"events":true,"multifd":false},
            "params":{"cpu-throttle-initial":60,"cpu-throttle-tailslow":true,"xbzrle-cache-size":4096}"#)
        .unwrap();
        let rules = config.auto_converge.unwrap();
        assert_eq!((rules.initial_percent, rules.increment_percent, rules.tailslow), (60, 10, true));
        assert_eq!((config.xbzrle, config.channels), (Some(Xbzrle { cache_bytes: 4096 }), None));
        assert_eq!((config.max_bandwidth_bytes_per_second, config.downtime_limit_ms), (1000, 70));
        let config = of(r#""caps":{"multifd":true,"postcopy-ram":true,"postcopy-preempt":true},"pc_at":1.0,
            "params":{"multifd-channels":4,"multifd-compression":"zstd","max-postcopy-bandwidth":9}"#)
        .unwrap();
        assert_eq!(config.postcopy, Some(Postcopy { max_bandwidth_bytes_per_second: 9, preempt: true }));
        let channels = config.channels.unwrap();
        assert_eq!((channels.count, channels.compression_ns_per_page), (4, Some(4_000)));
    }

    #[test]
    fn what_the_engine_lacks_is_said() {
        for (extra, words) in [
            (r#""caps":{"rdma-pin-all":true,"x-colo":true}"#, "no `rdma-pin-all`, `x-colo`"),
            (r#""pc_at":1.0"#, "without `postcopy-ram`"),
            (r#""params":{"zero-page-detection":"none"}"#, "no parameter `zero-page-detection` of \"none\""),
            (r#""params":{"multifd-zstd-level":9}"#, "no parameter `multifd-zstd-level` of 9"),
            (r#""caps":{"multifd":true},"params":{"multifd-compression":"qpl"}"#, "no compression \"qpl\""),
            (r#""params":{"multifd-channels":"two"}"#, "no whole number"),
        ] {
            let reason = of(extra).unwrap_err();
            assert!(reason.contains(words), "{extra}: {reason}");
        }
    }
}
