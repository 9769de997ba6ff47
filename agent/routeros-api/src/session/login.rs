//! The login, before anything else is sent: the router limits what it takes from strangers.
//!
//! Post-6.43 form: name and password at once, `!done` in answer. A `=ret=` in that answer is the
//! challenge of an older release and is answered only if the options allow it; by then the password has
//! gone over the wire in clear, which is why allowing it is a decision per router.

use bytes::Bytes;

use super::md5;
use crate::command::attribute_word;
use crate::error::{LoginError, ProtocolError};
use crate::sentence::{Answer, classify};
use crate::trap::Traps;
use crate::value::Secret;
use crate::wire::Sentence;

/// What to do after a sentence.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Step {
    /// Read on.
    Wait,
    /// Send these words, then read on.
    Send(Vec<Bytes>),
    /// Logged in.
    Ready,
}

pub(crate) struct Login {
    user: Bytes,
    password: Secret,
    is_legacy_allowed: bool,
    is_challenge_answered: bool,
    traps: Option<Traps>,
}

impl Login {
    pub(crate) fn new(user: &str, password: Secret, is_legacy_allowed: bool) -> Self {
        let user = Bytes::copy_from_slice(user.as_bytes());
        Self { user, password, is_legacy_allowed, is_challenge_answered: false, traps: None }
    }

    /// The first words to send.
    pub(crate) fn words(&self) -> Vec<Bytes> {
        vec![
            Bytes::from_static(b"/login"),
            attribute_word(b"name", &self.user),
            attribute_word(b"password", self.password.expose()),
        ]
    }

    /// Applies one sentence; tags are ignored, since routers answer a login with and without.
    pub(crate) fn receive(&mut self, sentence: Sentence) -> Result<Step, LoginError> {
        match classify(sentence).map_err(|_| LoginError::NotTheApi(ProtocolError::NotAReply))? {
            Answer::Done(ret) => match (self.refusal(), ret.filter(|ret| !ret.is_empty())) {
                (Some(refused), _) => Err(refused),
                (None, None) => Ok(Step::Ready),
                (None, Some(challenge)) => self.answer(&challenge),
            },
            Answer::Trap(trap) => {
                match &mut self.traps {
                    Some(traps) => traps.push(trap),
                    none => *none = Some(Traps::new(trap)),
                }
                Ok(Step::Wait)
            }
            Answer::Fatal(reason) => Err(self.refusal().unwrap_or(LoginError::Fatal { reason })),
            Answer::Row(_) | Answer::Nothing => Ok(Step::Wait),
        }
    }

    /// The refusal so far: some releases trap and close without a `!done`.
    pub(crate) fn refusal(&self) -> Option<LoginError> {
        self.traps.as_ref().map(|traps| LoginError::Refused { message: traps.to_string() })
    }

    /// What an end of the stream means at this point.
    pub(crate) fn ended(&self) -> LoginError {
        self.refusal().unwrap_or(LoginError::ClosedByRouter)
    }

    fn answer(&mut self, challenge: &[u8]) -> Result<Step, LoginError> {
        if !self.is_legacy_allowed {
            return Err(LoginError::LegacyRefused);
        }
        if self.is_challenge_answered {
            return Err(LoginError::RepeatedChallenge);
        }
        self.is_challenge_answered = true;
        let response = legacy_response(self.password.expose(), challenge).ok_or(LoginError::BadChallenge)?;
        Ok(Step::Send(vec![
            Bytes::from_static(b"/login"),
            attribute_word(b"name", &self.user),
            attribute_word(b"response", response.as_bytes()),
        ]))
    }
}

/// `00` and the MD5 of a zero byte, the password and the challenge, in hexadecimal.
fn legacy_response(password: &[u8], challenge: &[u8]) -> Option<String> {
    let mut message = vec![0];
    message.extend_from_slice(password);
    for pair in challenge.chunks(2) {
        match pair {
            [high, low] => message.push(hex_digit(*high)? << 4 | hex_digit(*low)?),
            _ => return None,
        }
    }
    let digest: String = md5::digest(&message).iter().map(|byte| format!("{byte:02x}")).collect();
    Some(format!("00{digest}"))
}

fn hex_digit(digit: u8) -> Option<u8> {
    char::from(digit).to_digit(16).and_then(|value| u8::try_from(value).ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sentence(words: &[&'static str]) -> Sentence {
        words.iter().copied().collect()
    }

    fn login(is_legacy_allowed: bool) -> Login {
        Login::new("api", Secret::new("passTest"), is_legacy_allowed)
    }

    #[test]
    fn the_login_sends_name_and_password_at_once() {
        assert_eq!(login(false).words(), [&b"/login"[..], b"=name=api", b"=password=passTest"]);
    }

    #[test]
    fn a_bare_done_tagged_or_not_lets_us_in() {
        for words in [&["!done"][..], &["!done", ".tag=1"], &["!done", "=ret="]] {
            assert_eq!(login(false).receive(sentence(words)), Ok(Step::Ready));
        }
    }

    #[test]
    fn a_wrong_password_is_refused_at_done_in_the_routers_words() {
        let mut login = login(false);
        assert_eq!(
            login.receive(sentence(&["!trap", "=message=invalid user name or password (6)"])),
            Ok(Step::Wait)
        );
        let refused = LoginError::Refused { message: "invalid user name or password (6)".to_owned() };
        assert_eq!(login.ended(), refused, "a router that closes without a done has refused all the same");
        assert_eq!(login.receive(sentence(&["!done"])), Err(refused));
    }

    #[test]
    fn a_challenge_is_refused_unless_the_options_allow_it() {
        let done = ["!done", "=ret=abc123"];
        assert_eq!(login(false).receive(sentence(&done)), Err(LoginError::LegacyRefused));
        let Ok(Step::Send(words)) = login(true).receive(sentence(&done)) else { panic!("no answer") };
        assert_eq!(words, [&b"/login"[..], b"=name=api", b"=response=0021277bff9ac7caf06aa608e46616d47f"]);
    }

    #[test]
    fn a_repeated_or_odd_challenge_is_refused() {
        let mut repeated = login(true);
        assert!(matches!(repeated.receive(sentence(&["!done", "=ret=abc123"])), Ok(Step::Send(_))));
        assert_eq!(repeated.receive(sentence(&["!done", "=ret=abc123"])), Err(LoginError::RepeatedChallenge));
        for challenge in ["=ret=abc", "=ret=zz", "=ret=+1"] {
            assert_eq!(login(true).receive(sentence(&["!done", challenge])), Err(LoginError::BadChallenge));
        }
    }

    #[test]
    fn legacy_responses_match_the_published_vectors() {
        for (password, challenge, response) in [
            ("", "93b438ec9b80057c06dd9fe67d56aa9a", "00e134102a9d330dd7b1849fedfea3cb57"),
            ("", "856780b7411eefd3abadee2058c149a3", "005062f7a5ef124d34675bf3e81f56c556"),
            ("passTest", "abc123", "0021277bff9ac7caf06aa608e46616d47f"),
            ("p", "d7ba7817dcb7ed0870f8fdaf4b3e8040", "005951e9d733f6b05bcc6d309ad7b6d32a"),
        ] {
            assert_eq!(legacy_response(password.as_bytes(), challenge.as_bytes()).as_deref(), Some(response));
        }
    }

    #[test]
    fn a_stream_that_ends_before_an_answer_names_what_to_check() {
        assert!(login(false).ended().to_string().contains("max-sessions"));
    }

    #[test]
    fn another_service_at_the_port_is_told_apart() {
        let answer = login(false).receive(sentence(&["SSH-2.0-ROSSSH"]));
        assert_eq!(answer, Err(LoginError::NotTheApi(ProtocolError::NotAReply)));
        let fatal = login(false).receive(sentence(&["!fatal", "not logged in"]));
        assert_eq!(fatal, Err(LoginError::Fatal { reason: "not logged in".to_owned() }));
    }
}
