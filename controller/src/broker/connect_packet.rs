//! The first packet of a connection, read and written: CONNECT of MQTT 3.1.1 (OASIS standard, section 3.1).
//!
//! Pure and strict: what the standard forbids is refused, and so is what no agent of ours sends (other protocol
//! levels, packets above [`PACKET_BYTES`]). What the values mean is `admission.rs`; where the bytes come from is
//! `front_door.rs`.

use thiserror::Error;

/// The largest CONNECT that is read, in bytes. An agent's has about 200: two names of at most 40 bytes, and a will
/// whose topic and payload stay under 100.
pub const PACKET_BYTES: usize = 4 * 1024;

/// Type 1 with flags 0.
const CONNECT: u8 = 0x10;
const PROTOCOL_LEVEL: u8 = 4;

const FLAG_RESERVED: u8 = 0x01;
const FLAG_CLEAN_SESSION: u8 = 0x02;
const FLAG_WILL: u8 = 0x04;
const FLAG_WILL_QOS: u8 = 0x18;
const FLAG_WILL_RETAIN: u8 = 0x20;
const FLAG_PASSWORD: u8 = 0x40;
const FLAG_USER_NAME: u8 = 0x80;

/// Why bytes are not a CONNECT that we take.
#[derive(Debug, Error, PartialEq, Eq)]
pub enum Malformed {
    /// Something else came first.
    #[error("the first packet is of type {0:#04x} and not CONNECT")]
    NotConnect(u8),
    /// It claims to be longer than [`PACKET_BYTES`], or its length does not end.
    #[error("CONNECT is longer than {PACKET_BYTES} bytes")]
    TooLong,
    /// A field ends after the packet does.
    #[error("CONNECT is cut short at {0}")]
    CutShort(&'static str),
    /// Bytes follow the last field.
    #[error("CONNECT has {0} bytes too many")]
    LeftOver(usize),
    /// Another protocol, or another version of it.
    #[error("only MQTT 3.1.1 is spoken here")]
    OtherProtocol,
    /// Flags that contradict each other.
    #[error("CONNECT has impossible flags {0:#010b}")]
    BadFlags(u8),
    /// Text that is not UTF-8 or holds a zero.
    #[error("{0} in CONNECT is not text")]
    NotText(&'static str),
}

/// What a client asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConnectPacket {
    /// Names the session.
    pub client_id: String,
    /// Who it says it is.
    pub user_name: Option<String>,
    /// What is published when the connection ends without a farewell.
    pub will: Option<Will>,
    /// Whether nothing is remembered from last time.
    pub is_clean_session: bool,
    /// The longest silence; 0 for none.
    pub keep_alive_seconds: u16,
}

/// A last will.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Will {
    /// Where it is published.
    pub topic: String,
    /// What is published.
    pub payload: Vec<u8>,
    /// 0, 1 or 2.
    pub quality_of_service: u8,
    /// Whether the broker keeps it.
    pub is_retained: bool,
}

/// The length of the packet that `bytes` begin with; `None` while that cannot be known yet.
///
/// # Errors
/// [`Malformed`] as soon as it is clear that no CONNECT of ours can follow.
pub fn packet_length(bytes: &[u8]) -> Result<Option<usize>, Malformed> {
    let Some((&kind, rest)) = bytes.split_first() else { return Ok(None) };
    if kind != CONNECT {
        return Err(Malformed::NotConnect(kind));
    }
    let mut remaining: usize = 0;
    // Two bytes of length hold 16,383, which is over the limit already.
    for (index, shift) in [0_u32, 7].into_iter().enumerate() {
        let Some(&byte) = rest.get(index) else { return Ok(None) };
        remaining |= usize::from(byte & 0x7f) << shift;
        if byte & 0x80 == 0 {
            let length = 2 + index + remaining;
            return if length <= PACKET_BYTES { Ok(Some(length)) } else { Err(Malformed::TooLong) };
        }
    }
    Err(Malformed::TooLong)
}

impl ConnectPacket {
    /// Reads one whole packet.
    ///
    /// # Errors
    /// [`Malformed`] says what is wrong.
    pub fn parse(packet: &[u8]) -> Result<Self, Malformed> {
        let length = packet_length(packet)?.ok_or(Malformed::CutShort("length"))?;
        let body_start = if packet.get(1).is_some_and(|byte| byte & 0x80 != 0) { 3 } else { 2 };
        let body = packet.get(body_start..length).ok_or(Malformed::CutShort("length"))?;
        if packet.len() > length {
            return Err(Malformed::LeftOver(packet.len() - length));
        }
        let mut fields = Fields(body);
        if fields.text("protocol name")? != "MQTT" || fields.byte("protocol level")? != PROTOCOL_LEVEL {
            return Err(Malformed::OtherProtocol);
        }
        let flags = fields.byte("flags")?;
        check_flags(flags)?;
        let keep_alive_seconds = fields.number("keep-alive")?;
        let client_id = fields.text("client id")?;
        let will = if flags & FLAG_WILL == 0 {
            None
        } else {
            Some(Will {
                topic: fields.text("will topic")?,
                payload: fields.binary("will")?.to_vec(),
                quality_of_service: (flags & FLAG_WILL_QOS) >> 3,
                is_retained: flags & FLAG_WILL_RETAIN != 0,
            })
        };
        let user_name = if flags & FLAG_USER_NAME == 0 { None } else { Some(fields.text("user name")?) };
        if flags & FLAG_PASSWORD != 0 {
            // Whatever it is, a certificate decides here.
            fields.binary("password")?;
        }
        match fields.0.len() {
            0 => Ok(Self {
                client_id,
                user_name,
                will,
                is_clean_session: flags & FLAG_CLEAN_SESSION != 0,
                keep_alive_seconds,
            }),
            count => Err(Malformed::LeftOver(count)),
        }
    }

    /// The packet in bytes, with a password; `None` when a field does not fit, which parsed fields always do.
    #[must_use]
    pub fn encode(&self, password: Option<&[u8]>) -> Option<Vec<u8>> {
        let mut flags = 0;
        let mut body = Vec::new();
        put_field(&mut body, b"MQTT")?;
        body.push(PROTOCOL_LEVEL);
        if self.is_clean_session {
            flags |= FLAG_CLEAN_SESSION;
        }
        if let Some(will) = &self.will {
            flags |= FLAG_WILL | ((will.quality_of_service & 3) << 3);
            flags |= if will.is_retained { FLAG_WILL_RETAIN } else { 0 };
        }
        if self.user_name.is_some() {
            flags |= FLAG_USER_NAME;
        }
        if password.is_some() {
            flags |= FLAG_PASSWORD;
        }
        body.push(flags);
        body.extend_from_slice(&self.keep_alive_seconds.to_be_bytes());
        put_field(&mut body, self.client_id.as_bytes())?;
        if let Some(will) = &self.will {
            put_field(&mut body, will.topic.as_bytes())?;
            put_field(&mut body, &will.payload)?;
        }
        if let Some(user_name) = &self.user_name {
            put_field(&mut body, user_name.as_bytes())?;
        }
        if let Some(password) = password {
            put_field(&mut body, password)?;
        }
        let mut packet = vec![CONNECT];
        put_length(&mut packet, body.len())?;
        packet.extend_from_slice(&body);
        Some(packet)
    }
}

fn check_flags(flags: u8) -> Result<(), Malformed> {
    let has = |flag| flags & flag != 0;
    let will_quality = (flags & FLAG_WILL_QOS) >> 3;
    let is_impossible = has(FLAG_RESERVED)
        || will_quality == 3
        || (!has(FLAG_WILL) && (will_quality != 0 || has(FLAG_WILL_RETAIN)))
        || (has(FLAG_PASSWORD) && !has(FLAG_USER_NAME));
    if is_impossible { Err(Malformed::BadFlags(flags)) } else { Ok(()) }
}

/// What is left to read of a packet.
struct Fields<'a>(&'a [u8]);

impl<'a> Fields<'a> {
    fn byte(&mut self, field: &'static str) -> Result<u8, Malformed> {
        let (&byte, rest) = self.0.split_first().ok_or(Malformed::CutShort(field))?;
        self.0 = rest;
        Ok(byte)
    }

    fn number(&mut self, field: &'static str) -> Result<u16, Malformed> {
        let (bytes, rest) = self.0.split_first_chunk::<2>().ok_or(Malformed::CutShort(field))?;
        self.0 = rest;
        Ok(u16::from_be_bytes(*bytes))
    }

    fn binary(&mut self, field: &'static str) -> Result<&'a [u8], Malformed> {
        let length = usize::from(self.number(field)?);
        let (bytes, rest) = self.0.split_at_checked(length).ok_or(Malformed::CutShort(field))?;
        self.0 = rest;
        Ok(bytes)
    }

    fn text(&mut self, field: &'static str) -> Result<String, Malformed> {
        let bytes = self.binary(field)?;
        let text = std::str::from_utf8(bytes).map_err(|_| Malformed::NotText(field))?;
        if text.contains('\0') {
            return Err(Malformed::NotText(field));
        }
        Ok(text.to_owned())
    }
}

fn put_field(out: &mut Vec<u8>, bytes: &[u8]) -> Option<()> {
    let length = u16::try_from(bytes.len()).ok()?;
    out.extend_from_slice(&length.to_be_bytes());
    out.extend_from_slice(bytes);
    Some(())
}

fn put_length(out: &mut Vec<u8>, length: usize) -> Option<()> {
    let mut rest = length;
    for _ in 0..4 {
        let low = u8::try_from(rest & 0x7f).ok()?;
        rest >>= 7;
        if rest == 0 {
            out.push(low);
            return Some(());
        }
        out.push(low | 0x80);
    }
    None
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn packet() -> ConnectPacket {
        ConnectPacket {
            client_id: "nyeri-01".into(),
            user_name: Some("nyeri-01".into()),
            will: Some(Will {
                topic: "v1/nyeri-01/up/bye".into(),
                payload: vec![1, 2, 3],
                quality_of_service: 1,
                is_retained: false,
            }),
            is_clean_session: true,
            keep_alive_seconds: 120,
        }
    }

    /// As rumqttc 0.25.1 sends it, with client id `a`, user name `a`, password `p` and a will of QoS 1.
    #[test]
    fn the_packet_of_another_implementation_is_read() {
        let mut options = rumqttc::MqttOptions::new("a", "localhost", 1);
        options.set_credentials("a", "p").set_clean_session(true);
        options.set_last_will(rumqttc::LastWill::new("v1/a/up/bye", "x", rumqttc::QoS::AtLeastOnce, false));
        let mut connect = rumqttc::mqttbytes::v4::Connect::new("a");
        connect.login = options.credentials();
        connect.last_will = options.last_will();
        connect.keep_alive = 60;
        let mut bytes = bytes::BytesMut::new();
        connect.write(&mut bytes).unwrap();
        let parsed = ConnectPacket::parse(&bytes).unwrap();
        assert_eq!(parsed.client_id, "a");
        assert_eq!(parsed.user_name.as_deref(), Some("a"));
        assert_eq!(parsed.keep_alive_seconds, 60);
        let will = parsed.will.as_ref().unwrap();
        assert_eq!(
            (will.topic.as_str(), will.quality_of_service, will.is_retained),
            ("v1/a/up/bye", 1, false)
        );
        assert_eq!(parsed.encode(Some(b"p")).unwrap(), bytes, "and written in the same way");
    }

    #[test]
    fn what_the_standard_forbids_is_refused() {
        let good = packet().encode(Some(b"secret")).unwrap();
        let with = |index: usize, byte: u8| {
            let mut bytes = good.clone();
            bytes[index] = byte;
            ConnectPacket::parse(&bytes)
        };
        assert!(ConnectPacket::parse(&good).is_ok());
        // The flags stand after the fixed header (2), the protocol name (6) and its level (1).
        let flags = good[9];
        assert_eq!(with(0, 0x30), Err(Malformed::NotConnect(0x30)));
        assert_eq!(with(0, 0x11), Err(Malformed::NotConnect(0x11)));
        assert_eq!(with(8, 3), Err(Malformed::OtherProtocol));
        assert_eq!(with(8, 5), Err(Malformed::OtherProtocol));
        assert!(matches!(with(9, flags | FLAG_RESERVED), Err(Malformed::BadFlags(_))));
        assert!(matches!(with(9, flags | FLAG_WILL_QOS), Err(Malformed::BadFlags(_))));
        assert!(matches!(with(9, flags & !FLAG_WILL), Err(Malformed::BadFlags(_))));
        assert!(matches!(with(9, flags & !FLAG_USER_NAME), Err(Malformed::BadFlags(_))));
        let mut longer = good.clone();
        longer.push(0);
        assert_eq!(ConnectPacket::parse(&longer), Err(Malformed::LeftOver(1)));
        assert!(matches!(with(1, good[1] - 1), Err(Malformed::LeftOver(1))));
        // "MQIsdp" of version 3.1.
        assert_eq!(
            ConnectPacket::parse(b"\x10\x0e\x00\x06MQIsdp\x03\x02\x00\x3c\x00\x00"),
            Err(Malformed::OtherProtocol)
        );
        // A client id with a zero in it.
        let zero = ConnectPacket { client_id: "a\0".into(), ..packet() }.encode(None).unwrap();
        assert_eq!(ConnectPacket::parse(&zero), Err(Malformed::NotText("client id")));
    }

    #[test]
    fn a_packet_that_claims_to_be_huge_is_refused_by_its_first_bytes() {
        assert_eq!(packet_length(&[]), Ok(None));
        assert_eq!(packet_length(&[0x10]), Ok(None));
        assert_eq!(packet_length(&[0x10, 0x80]), Ok(None));
        assert_eq!(packet_length(&[0x10, 0x05]), Ok(Some(7)));
        assert_eq!(packet_length(&[0x10, 0xff, 0x7f]), Err(Malformed::TooLong));
        assert_eq!(packet_length(&[0x10, 0xff, 0xff]), Err(Malformed::TooLong));
        assert_eq!(packet_length(&[0x16, 0x03]), Err(Malformed::NotConnect(0x16)), "TLS within TLS");
        let largest = PACKET_BYTES - 3;
        let [low, high] = [u8::try_from(largest & 0x7f).unwrap(), u8::try_from(largest >> 7).unwrap()];
        assert_eq!(packet_length(&[0x10, low | 0x80, high]), Ok(Some(PACKET_BYTES)));
        assert_eq!(packet_length(&[0x10, (low + 1) | 0x80, high]), Err(Malformed::TooLong));
    }

    prop_compose! {
        fn any_will()(
            topic in "[a-z/]{0,30}",
            payload in proptest::collection::vec(any::<u8>(), 0..200),
            quality_of_service in 0u8..3,
            is_retained: bool,
        ) -> Will {
            Will { topic, payload, quality_of_service, is_retained }
        }
    }

    prop_compose! {
        fn any_packet()(
            client_id in "[a-zé.-]{0,60}",
            user_name in proptest::option::of("[a-zé$]{0,60}"),
            will in proptest::option::of(any_will()),
            is_clean_session: bool,
            keep_alive_seconds: u16,
        ) -> ConnectPacket {
            ConnectPacket { client_id, user_name, will, is_clean_session, keep_alive_seconds }
        }
    }

    proptest! {
        #[test]
        fn any_bytes_are_answered_without_a_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            let _ = ConnectPacket::parse(&bytes);
            let mut connect = vec![0x10, u8::try_from(bytes.len() % 128).unwrap()];
            connect.extend_from_slice(&bytes);
            let _ = ConnectPacket::parse(&connect);
        }

        #[test]
        fn what_is_written_is_read_as_it_was(packet in any_packet(), password in proptest::option::of("[a-z]{0,40}")) {
            let password = if packet.user_name.is_some() { password } else { None };
            let bytes = packet.encode(password.as_ref().map(String::as_bytes)).unwrap();
            prop_assert_eq!(packet_length(&bytes).unwrap(), Some(bytes.len()));
            prop_assert_eq!(ConnectPacket::parse(&bytes).unwrap(), packet);
        }

        #[test]
        fn a_damaged_packet_is_refused_or_read_and_never_panics(
            packet in any_packet(), index: prop::sample::Index, byte: u8, cut: prop::sample::Index,
        ) {
            let mut bytes = packet.encode(None).unwrap();
            let at = index.index(bytes.len());
            bytes[at] = byte;
            let _ = ConnectPacket::parse(&bytes);
            let _ = ConnectPacket::parse(&bytes[..cut.index(bytes.len())]);
        }
    }
}
