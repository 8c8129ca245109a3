//! The simulated users of a run: their accounts and their open sessions.
//!
//! Both pools are bounded, so that memory does not grow in an endless run. Passwords, tokens and
//! emails must not be logged, so the `Debug` output of these types hides them.

use std::{
    net::Ipv4Addr,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU32, AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use rand::{RngExt as _, distr::Alphanumeric};

/// Limit of accounts, and of sessions.
const CAPACITY: usize = 1_024;

/// Delay between two wrong passwords for one account. auth limits them to ten a minute, and refuses
/// good logins too when the limit is reached.
const FAILURE_GAP: Duration = Duration::from_secs(15);

/// Limit of concurrent logins to one account. auth counts pending attempts towards its limit of ten
/// a minute, so it might refuse a good login.
const LOGINS_AT_ONCE: usize = 4;

/// How long a session is used. It expires after a day, and a run may last for weeks.
const SESSION_AGE: Duration = Duration::from_secs(60 * 60);

/// An account that exists at the target, or is about to be registered.
#[derive(derive_more::Debug)]
pub(crate) struct Account {
    #[debug("..")]
    pub(crate) email: String,
    #[debug("..")]
    pub(crate) password: String,
    /// The client address of its requests.
    pub(crate) address: Ipv4Addr,
}

/// A session that is open at the target.
#[derive(derive_more::Debug)]
pub(crate) struct SignIn {
    #[debug("..")]
    pub(crate) token: String,
    pub(crate) address: Ipv4Addr,
    opened: Instant,
}

impl SignIn {
    pub(crate) fn new(token: String, address: Ipv4Addr) -> Self {
        Self {
            token,
            address,
            opened: Instant::now(),
        }
    }
}

/// All simulated users.
#[derive(Debug)]
pub(crate) struct People {
    /// A random part of all emails, so that runs do not share any.
    run: String,
    serial: AtomicU64,
    address: AtomicU32,
    pools: Mutex<Pools>,
}

#[derive(Debug, Default)]
struct Pools {
    accounts: Vec<Known>,
    sign_ins: Vec<Arc<SignIn>>,
}

#[derive(Debug)]
struct Known {
    account: Arc<Account>,
    failed: Option<Instant>,
}

impl People {
    pub(crate) fn new() -> Self {
        Self {
            run: format!("{:016x}", rand::random::<u64>()),
            serial: AtomicU64::new(0),
            address: AtomicU32::new(rand::random()),
            pools: Mutex::default(),
        }
    }

    /// A new account, whose email was never used.
    pub(crate) fn stranger(&self) -> Account {
        let serial = self.serial.fetch_add(1, Ordering::Relaxed);
        Account {
            email: format!("{}-{serial}@load.example.com", self.run),
            password: random_text(24),
            address: self.address(),
        }
    }

    /// The next address of 198.18.0.0/15, the block for benchmarks (RFC 2544).
    pub(crate) fn address(&self) -> Ipv4Addr {
        let host = self.address.fetch_add(1, Ordering::Relaxed) % (1 << 17);
        Ipv4Addr::from_bits(Ipv4Addr::new(198, 18, 0, 0).to_bits() + host)
    }

    /// Adds an account that the target has created. If the pool is full, the account replaces one
    /// that `draw` picks.
    pub(crate) fn add_account(&self, account: Arc<Account>, draw: u64) {
        let known = Known {
            account,
            failed: None,
        };
        let accounts = &mut self.pools().accounts;
        if accounts.len() < CAPACITY {
            accounts.push(known);
        } else {
            accounts[pick(draw, CAPACITY)] = known;
        }
    }

    /// An account that `draw` picks.
    pub(crate) fn account(&self, draw: u64) -> Option<Arc<Account>> {
        let accounts = &self.pools().accounts;
        let index = pick(draw, accounts.len());
        accounts.get(index).map(|known| Arc::clone(&known.account))
    }

    /// An account with fewer than [`LOGINS_AT_ONCE`] logins. The returned reference counts as a
    /// login while it is held.
    pub(crate) fn account_to_enter(&self, draw: u64) -> Option<Arc<Account>> {
        let accounts = &self.pools().accounts;
        let start = pick(draw, accounts.len());
        let (before, after) = accounts.split_at(start);
        // New references are made only under this lock. The pool itself holds one.
        let known = after
            .iter()
            .chain(before)
            .find(|known| Arc::strong_count(&known.account) <= LOGINS_AT_ONCE)?;
        Some(Arc::clone(&known.account))
    }

    /// An account whose last wrong password is at least [`FAILURE_GAP`] ago. Stores the new
    /// attempt.
    pub(crate) fn account_to_fail(&self, draw: u64) -> Option<Arc<Account>> {
        let now = Instant::now();
        let accounts = &mut self.pools().accounts;
        let start = pick(draw, accounts.len());
        let (before, after) = accounts.split_at_mut(start);
        let known = after.iter_mut().chain(before).find(|known| {
            known
                .failed
                .is_none_or(|failed| now.duration_since(failed) >= FAILURE_GAP)
        })?;
        known.failed = Some(now);
        Some(Arc::clone(&known.account))
    }

    /// Adds a session that the target has opened. If the pool is full, the session replaces one
    /// that `draw` picks, which stays open at the target until it expires.
    pub(crate) fn add_sign_in(&self, token: String, address: Ipv4Addr, draw: u64) -> Arc<SignIn> {
        let sign_in = Arc::new(SignIn::new(token, address));
        let sign_ins = &mut self.pools().sign_ins;
        if sign_ins.len() < CAPACITY {
            sign_ins.push(Arc::clone(&sign_in));
        } else {
            sign_ins[pick(draw, CAPACITY)] = Arc::clone(&sign_in);
        }
        sign_in
    }

    /// A session that `draw` picks. While the reference is held, the session cannot be
    /// [taken](Self::take_sign_in).
    pub(crate) fn sign_in(&self, draw: u64) -> Option<Arc<SignIn>> {
        let sign_ins = &mut self.pools().sign_ins;
        while !sign_ins.is_empty() {
            let index = pick(draw, sign_ins.len());
            if sign_ins[index].opened.elapsed() < SESSION_AGE {
                return Some(Arc::clone(&sign_ins[index]));
            }
            sign_ins.swap_remove(index);
        }
        None
    }

    /// Removes an unused session from the pool, in order to close it at the target. Requests with a
    /// closed session would be refused.
    pub(crate) fn take_sign_in(&self, draw: u64) -> Option<Arc<SignIn>> {
        let sign_ins = &mut self.pools().sign_ins;
        let start = pick(draw, sign_ins.len());
        // New references are made only under this lock.
        let index = (start..sign_ins.len())
            .chain(0..start)
            .find(|index| Arc::strong_count(&sign_ins[*index]) == 1)?;
        Some(sign_ins.swap_remove(index))
    }

    fn pools(&self) -> MutexGuard<'_, Pools> {
        self.pools.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Random letters and digits.
pub(crate) fn random_text(length: usize) -> String {
    rand::rng()
        .sample_iter(Alphanumeric)
        .take(length)
        .map(char::from)
        .collect()
}

/// The token with one changed character near its end. Not the last one, because its low bits may be
/// unused in base64.
pub(crate) fn altered(token: &str) -> String {
    let mut characters: Vec<char> = token.chars().collect();
    let index = characters.len().saturating_sub(8);
    match characters.get_mut(index) {
        Some(character) => *character = if *character == 'A' { 'B' } else { 'A' },
        None => characters.push('A'),
    }
    characters.into_iter().collect()
}

fn pick(draw: u64, length: usize) -> usize {
    // An empty pool has no valid index, so any value will do.
    let index = draw.checked_rem(length as u64).unwrap_or_default();
    usize::try_from(index).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    fn people(accounts: usize) -> People {
        let people = People::new();
        for _ in 0..accounts {
            people.add_account(Arc::new(people.stranger()), 0);
        }
        people
    }

    #[test]
    fn debug_hides_emails_passwords_and_tokens_and_nothing_else() {
        let people = People::new();
        let address = Ipv4Addr::new(198, 18, 0, 1);
        let account = Account {
            email: "MARKER@example.com".to_owned(),
            password: "MARKER".to_owned(),
            address,
        };
        people.add_account(Arc::new(account), 0);
        people.add_sign_in("MARKER".to_owned(), address, 0);
        let text = format!("{people:?}");
        assert!(!text.contains("MARKER"), "{text}");
        assert_eq!(text.matches("198.18.0.1").count(), 2, "{text}");
    }

    #[test]
    fn all_emails_addresses_and_passwords_differ() {
        let (here, there) = (People::new(), People::new());
        let people: Vec<Account> = (0..500)
            .flat_map(|_| [here.stranger(), there.stranger()])
            .collect();
        let emails: HashSet<&str> = people.iter().map(|person| person.email.as_str()).collect();
        let passwords: HashSet<&str> = people
            .iter()
            .map(|person| person.password.as_str())
            .collect();
        assert_eq!((emails.len(), passwords.len()), (1_000, 1_000));

        let addresses: HashSet<Ipv4Addr> = (0..1_000).map(|_| here.address()).collect();
        assert_eq!(addresses.len(), 1_000);
        let benchmark = |address: &Ipv4Addr| matches!(address.octets(), [198, 18 | 19, _, _]);
        assert!(addresses.iter().all(benchmark));
    }

    #[test]
    fn pools_are_bounded() {
        let people = people(CAPACITY + 10);
        for serial in 0..CAPACITY + 10 {
            people.add_sign_in(String::new(), Ipv4Addr::LOCALHOST, serial as u64);
        }
        let pools = people.pools();
        assert_eq!(
            (pools.accounts.len(), pools.sign_ins.len()),
            (CAPACITY, CAPACITY)
        );
    }

    #[test]
    fn wrong_passwords_for_an_account_have_a_delay() {
        let people = people(2);
        let first = people.account_to_fail(0).unwrap();
        let second = people.account_to_fail(0).unwrap();
        assert_ne!(first.email, second.email);
        assert!(people.account_to_fail(0).is_none());
    }

    #[test]
    fn concurrent_logins_to_one_account_are_limited() {
        let people = people(2);
        let mut entering = Vec::new();
        while let Some(account) = people.account_to_enter(0) {
            entering.push(account);
        }
        assert_eq!(entering.len(), 2 * LOGINS_AT_ONCE);
        entering.pop();
        assert!(people.account_to_enter(0).is_some());
    }

    #[test]
    fn a_session_in_use_is_not_taken() {
        let people = People::new();
        people.add_sign_in("one".to_owned(), Ipv4Addr::LOCALHOST, 0);
        let used = people.sign_in(0).unwrap();
        assert!(people.take_sign_in(0).is_none());
        drop(used);
        assert_eq!(people.take_sign_in(0).unwrap().token, "one");
        assert!(people.sign_in(0).is_none());
    }

    #[test]
    fn an_altered_token_differs_in_its_signature_only() {
        let token = "aaaa.bbbb.cccccccccccccccc";
        let altered = altered(token);
        assert!(altered.starts_with("aaaa.bbbb."));
        assert_ne!(altered, token);
        assert_eq!(altered.len(), token.len());
        assert_ne!(super::altered(""), "");
        assert_ne!(super::altered("AAA"), "AAA");
    }

    #[test]
    fn secrets_are_not_printed() {
        let people = people(1);
        people.add_sign_in("hush".to_owned(), Ipv4Addr::LOCALHOST, 0);
        let account = people.account(0).unwrap();
        let printed = format!("{people:?}{account:?}");
        for secret in [account.password.as_str(), account.email.as_str(), "hush"] {
            assert!(!printed.contains(secret), "{printed}");
        }
    }
}
