//! The journeys of simulated users: their input and the expected answers.
//!
//! This module does not depend on the protocol; see [`crate::target`].

use std::{fmt, str::FromStr};

use rand::RngExt as _;
use serde::Serialize;

/// A journey: one action of a simulated user.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Journey {
    /// Creates an account.
    Register,
    /// Opens a session.
    Login,
    /// Reads the account that a session belongs to.
    Me,
    /// Closes a session.
    Logout,
}

impl Journey {
    /// All journeys, in the order of the report.
    pub(crate) const ALL: [Self; 4] = [Self::Register, Self::Login, Self::Me, Self::Logout];

    /// The name in settings, in the report and of the span.
    #[must_use]
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Register => "register",
            Self::Login => "login",
            Self::Me => "me",
            Self::Logout => "logout",
        }
    }
}

/// Whether the target must accept or refuse the input.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Input {
    /// The target must accept it.
    Good,
    /// The target must refuse it.
    Bad,
}

impl Input {
    /// Both, in the order of the report.
    pub(crate) const ALL: [Self; 2] = [Self::Good, Self::Bad];

    /// The name in the report and in spans.
    #[must_use]
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Good => "good",
            Self::Bad => "bad",
        }
    }
}

/// The relative frequency of each journey.
#[derive(Clone, Copy, Debug, Eq, PartialEq, Serialize)]
pub(crate) struct Mix {
    /// Weight of [`Journey::Register`].
    pub(crate) register: u32,
    /// Weight of [`Journey::Login`].
    pub(crate) login: u32,
    /// Weight of [`Journey::Me`].
    pub(crate) me: u32,
    /// Weight of [`Journey::Logout`].
    pub(crate) logout: u32,
}

impl Mix {
    fn weight(self, journey: Journey) -> u64 {
        u64::from(match journey {
            Journey::Register => self.register,
            Journey::Login => self.login,
            Journey::Me => self.me,
            Journey::Logout => self.logout,
        })
    }

    fn choose(self, rng: &mut impl rand::Rng) -> Journey {
        let total: u64 = Journey::ALL
            .map(|journey| self.weight(journey))
            .iter()
            .sum();
        let mut point = rng.random_range(0..total);
        for journey in Journey::ALL {
            match point.checked_sub(self.weight(journey)) {
                Some(rest) => point = rest,
                None => return journey,
            }
        }
        unreachable!("the point lies below the sum of the weights")
    }
}

/// Why a text is not a [`Mix`].
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub(crate) enum MixError {
    /// An entry is not of the form `journey=weight`.
    #[error("`{0}` is not of the form JOURNEY=WEIGHT")]
    Form(String),
    /// An entry names an unknown journey.
    #[error("`{0}` is not one of register, login, me and logout")]
    Journey(String),
    /// A journey has two weights.
    #[error("`{0}` is named twice")]
    Twice(&'static str),
    /// A weight is not a whole number.
    #[error("the weight of `{0}` is not a whole number from 0 to 4294967295")]
    Weight(&'static str),
    /// All weights are 0.
    #[error("at least one weight must be above 0")]
    Nothing,
}

impl FromStr for Mix {
    type Err = MixError;

    /// Parses a text such as `register=1,login=3`. Journeys that are not named have weight 0.
    fn from_str(text: &str) -> Result<Self, MixError> {
        let mut weights = [None; Journey::ALL.len()];
        for entry in text.split(',') {
            let (name, weight) = entry
                .split_once('=')
                .ok_or_else(|| MixError::Form(entry.to_owned()))?;
            let index = Journey::ALL
                .iter()
                .position(|journey| journey.name() == name.trim())
                .ok_or_else(|| MixError::Journey(name.to_owned()))?;
            let name = Journey::ALL[index].name();
            let Ok(weight) = weight.trim().parse::<u32>() else {
                return Err(MixError::Weight(name));
            };
            if weights[index].replace(weight).is_some() {
                return Err(MixError::Twice(name));
            }
        }
        let [register, login, me, logout] = weights.map(Option::unwrap_or_default);
        if register == 0 && login == 0 && me == 0 && logout == 0 {
            return Err(MixError::Nothing);
        }
        Ok(Self {
            register,
            login,
            me,
            logout,
        })
    }
}

impl fmt::Display for Mix {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            register,
            login,
            me,
            logout,
        } = self;
        write!(
            f,
            "register={register},login={login},me={me},logout={logout}"
        )
    }
}

/// A journey and its input.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Case {
    Register(NewAccount),
    Login(Credentials),
    Me(Token),
    Logout(Token),
}

/// The input of a registration.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum NewAccount {
    Good,
    InvalidEmail,
    ShortPassword,
    TakenEmail,
}

/// The input of a login.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Credentials {
    Good,
    UnknownEmail,
    /// Replaced by an unknown email while no account may have another failure.
    WrongPassword,
}

/// The token of a request.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Token {
    Good,
    /// A text that is not a token.
    Garbage,
    /// A good token with one changed character in its signature.
    Altered,
}

/// The answer of a target, in terms that HTTP and gRPC share.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Verdict {
    Accepted,
    /// A field is malformed.
    Invalid,
    /// Credentials or session are not valid.
    Refused,
    /// The email belongs to an account.
    Taken,
    /// Signed out. The answer does not tell whether the session was valid.
    SignedOut,
    /// An answer that is never expected.
    Other,
}

impl Case {
    pub(crate) fn choose(mix: Mix, bad: f64, rng: &mut impl rand::Rng) -> Self {
        let journey = mix.choose(rng);
        let bad = rng.random::<f64>() < bad;
        // Drawn for good input too, so that the share of bad input does not change the rest of the
        // schedule.
        let point = rng.random_range(0..12_u8);
        let token = match (bad, point % 2) {
            (false, _) => Token::Good,
            (true, 0) => Token::Garbage,
            (true, _) => Token::Altered,
        };
        match journey {
            Journey::Register => Self::Register(match (bad, point % 3) {
                (false, _) => NewAccount::Good,
                (true, 0) => NewAccount::InvalidEmail,
                (true, 1) => NewAccount::ShortPassword,
                (true, _) => NewAccount::TakenEmail,
            }),
            Journey::Login => Self::Login(match (bad, point % 4) {
                (false, _) => Credentials::Good,
                (true, 0) => Credentials::WrongPassword,
                (true, _) => Credentials::UnknownEmail,
            }),
            Journey::Me => Self::Me(token),
            Journey::Logout => Self::Logout(token),
        }
    }

    pub(crate) fn journey(self) -> Journey {
        match self {
            Self::Register(_) => Journey::Register,
            Self::Login(_) => Journey::Login,
            Self::Me(_) => Journey::Me,
            Self::Logout(_) => Journey::Logout,
        }
    }

    pub(crate) fn input(self) -> Input {
        match self {
            Self::Register(NewAccount::Good)
            | Self::Login(Credentials::Good)
            | Self::Me(Token::Good)
            | Self::Logout(Token::Good) => Input::Good,
            Self::Register(_) | Self::Login(_) | Self::Me(_) | Self::Logout(_) => Input::Bad,
        }
    }

    /// Whether this is an expected answer.
    pub(crate) fn deserves(self, verdict: Verdict) -> bool {
        match (self, verdict) {
            (_, Verdict::SignedOut) => matches!(self, Self::Logout(_)),
            (Self::Register(NewAccount::InvalidEmail | NewAccount::ShortPassword), verdict) => {
                verdict == Verdict::Invalid
            }
            (Self::Register(NewAccount::TakenEmail), verdict) => verdict == Verdict::Taken,
            (_, verdict) => match self.input() {
                Input::Good => verdict == Verdict::Accepted,
                Input::Bad => verdict == Verdict::Refused,
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use rand::{SeedableRng as _, rngs::Xoshiro256PlusPlus};

    use super::*;

    #[test]
    fn a_mix_is_read_and_written() {
        let mix: Mix = "me=6, login=3,register=1".parse().unwrap();
        assert_eq!(
            mix,
            Mix {
                register: 1,
                login: 3,
                me: 6,
                logout: 0
            }
        );
        assert_eq!(mix.to_string().parse(), Ok(mix));
    }

    #[test]
    fn an_invalid_mix_is_refused() {
        for (text, error) in [
            ("", MixError::Form(String::new())),
            ("me", MixError::Form("me".to_owned())),
            ("me=1,", MixError::Form(String::new())),
            ("you=1", MixError::Journey("you".to_owned())),
            ("me=1,me=2", MixError::Twice("me")),
            ("me=-1", MixError::Weight("me")),
            ("me=1.5", MixError::Weight("me")),
            ("me=0,login=0", MixError::Nothing),
        ] {
            assert_eq!(text.parse::<Mix>(), Err(error), "{text:?}");
        }
    }

    #[test]
    fn journeys_occur_by_their_weights() {
        let mix = Mix {
            register: 1,
            login: 3,
            me: 6,
            logout: 0,
        };
        let mut rng = Xoshiro256PlusPlus::seed_from_u64(1);
        let mut counts = [0_u32; 4];
        for _ in 0..10_000 {
            counts[mix.choose(&mut rng) as usize] += 1;
        }
        assert!(counts[0].abs_diff(1_000) < 150, "{counts:?}");
        assert!(counts[1].abs_diff(3_000) < 250, "{counts:?}");
        assert!(counts[2].abs_diff(6_000) < 250, "{counts:?}");
        assert_eq!(counts[3], 0);
    }

    #[test]
    fn the_share_of_bad_input_is_kept_and_each_kind_occurs() {
        let mix = Mix {
            register: 1,
            login: 1,
            me: 1,
            logout: 1,
        };
        for (share, low, high) in [(0.0, 0, 0), (0.1, 850, 1_150), (1.0, 10_000, 10_000)] {
            let mut rng = Xoshiro256PlusPlus::seed_from_u64(2);
            let cases: Vec<Case> = (0..10_000)
                .map(|_| Case::choose(mix, share, &mut rng))
                .collect();
            let bad = cases
                .iter()
                .filter(|case| case.input() == Input::Bad)
                .count();
            assert!((low..=high).contains(&bad), "{share}: {bad}");
            if share == 1.0 {
                for case in [
                    Case::Register(NewAccount::InvalidEmail),
                    Case::Register(NewAccount::ShortPassword),
                    Case::Register(NewAccount::TakenEmail),
                    Case::Login(Credentials::UnknownEmail),
                    Case::Login(Credentials::WrongPassword),
                    Case::Me(Token::Garbage),
                    Case::Me(Token::Altered),
                    Case::Logout(Token::Garbage),
                    Case::Logout(Token::Altered),
                ] {
                    assert!(cases.contains(&case), "{case:?}");
                }
            }
        }
    }

    #[test]
    fn each_case_has_one_expected_answer() {
        for (case, right) in [
            (Case::Register(NewAccount::Good), Verdict::Accepted),
            (Case::Register(NewAccount::InvalidEmail), Verdict::Invalid),
            (Case::Register(NewAccount::ShortPassword), Verdict::Invalid),
            (Case::Register(NewAccount::TakenEmail), Verdict::Taken),
            (Case::Login(Credentials::Good), Verdict::Accepted),
            (Case::Login(Credentials::UnknownEmail), Verdict::Refused),
            (Case::Login(Credentials::WrongPassword), Verdict::Refused),
            (Case::Me(Token::Good), Verdict::Accepted),
            (Case::Me(Token::Garbage), Verdict::Refused),
            (Case::Me(Token::Altered), Verdict::Refused),
            (Case::Logout(Token::Good), Verdict::Accepted),
            (Case::Logout(Token::Garbage), Verdict::Refused),
        ] {
            for verdict in [
                Verdict::Accepted,
                Verdict::Invalid,
                Verdict::Refused,
                Verdict::Taken,
                Verdict::Other,
            ] {
                assert_eq!(
                    case.deserves(verdict),
                    verdict == right,
                    "{case:?} {verdict:?}"
                );
            }
        }
        // The frontend gives all sign-outs the same answer.
        assert!(Case::Logout(Token::Good).deserves(Verdict::SignedOut));
        assert!(Case::Logout(Token::Altered).deserves(Verdict::SignedOut));
        assert!(!Case::Me(Token::Good).deserves(Verdict::SignedOut));
    }
}
