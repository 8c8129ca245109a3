//! Makes a scheduled journey at the target.

use std::{
    net::Ipv4Addr,
    sync::Arc,
    time::{Duration, Instant},
};

use telemetry::names;
use tracing::{Instrument as _, Span, field::Empty};

use crate::{
    journey::{Case, Credentials, NewAccount, Token, Verdict},
    people::{Account, People, SignIn, altered, random_text},
    record::Outcome,
    report::Stage,
    schedule::Planned,
    target::{Kind, Reply, Request, Target},
};

/// The target and the simulated users.
#[derive(Debug)]
pub(crate) struct World {
    pub(crate) target: Target,
    pub(crate) people: People,
}

impl World {
    /// Makes a journey in a new trace. Its latency counts from `intended`, the scheduled start,
    /// even if it starts later. A user would wait for as long.
    pub(crate) async fn visit(&self, planned: Planned, intended: Instant) -> Outcome {
        let case = planned.case;
        let span = tracing::info_span!(
            parent: None,
            "journey",
            otel.name = case.journey().name(),
            otel.status_code = Empty,
            input = case.input().name(),
            { names::ERROR_TYPE } = Empty,
        );
        async {
            let mut preparation = Duration::ZERO;
            let answer = self.make(case, planned.draw, &mut preparation).await;
            let latency = intended.elapsed().saturating_sub(preparation);
            let unexpected = match answer {
                Ok(reply) if case.deserves(reply.verdict) => None,
                Ok(reply) => Some((Stage::Request, reply.kind)),
                Err(kind) => Some((Stage::Preparation, kind)),
            };
            if let Some((_, kind)) = &unexpected {
                let span = Span::current();
                span.record("otel.status_code", "ERROR");
                span.record(names::ERROR_TYPE, kind.to_string());
            }
            Outcome {
                journey: case.journey(),
                input: case.input(),
                latency,
                unexpected,
            }
        }
        .instrument(span)
        .await
    }

    /// Registers a new account, which opens a session.
    pub(crate) async fn settle(&self, draw: u64) -> Result<Arc<Account>, Kind> {
        let account = Arc::new(self.people.stranger());
        let reply = self.register(&account, draw).await;
        accepted(reply).map(|_| account)
    }

    async fn make(&self, case: Case, draw: u64, preparation: &mut Duration) -> Result<Reply, Kind> {
        Ok(match case {
            Case::Register(NewAccount::Good) => {
                self.register(&Arc::new(self.people.stranger()), draw).await
            }
            Case::Register(fault) => {
                let mut account = self.people.stranger();
                match fault {
                    NewAccount::InvalidEmail => account.email = account.email.replace('@', "."),
                    NewAccount::ShortPassword => account.password = random_text(7),
                    NewAccount::Good | NewAccount::TakenEmail => {
                        let known = self.people.account(draw);
                        let known = self.account(known, draw, preparation).await?;
                        account.email.clone_from(&known.email);
                    }
                }
                self.send_registration(&account).await
            }

            Case::Login(Credentials::Good) => {
                let idle = self.people.account_to_enter(draw);
                let account = self.account(idle, draw, preparation).await?;
                let reply = self.log_in(&account).await;
                if let (Verdict::Accepted, Some(token)) = (reply.verdict, &reply.token) {
                    self.people
                        .add_sign_in(token.clone(), account.address, draw);
                }
                reply
            }
            Case::Login(fault) => {
                let mut account = self.people.stranger();
                if fault == Credentials::WrongPassword
                    && let Some(known) = self.people.account_to_fail(draw)
                {
                    account.email.clone_from(&known.email);
                }
                self.log_in(&account).await
            }

            Case::Me(Token::Good) => {
                let sign_in = self.sign_in(draw, preparation).await?;
                self.target
                    .send(
                        Request::Me {
                            token: &sign_in.token,
                        },
                        sign_in.address,
                    )
                    .await
            }
            Case::Me(fault) => {
                let (token, from) = self.bad_token(fault, draw, preparation).await?;
                self.target.send(Request::Me { token: &token }, from).await
            }

            Case::Logout(Token::Good) => {
                let sign_in = match self.people.take_sign_in(draw) {
                    Some(sign_in) => sign_in,
                    None => Arc::new(self.open(draw, preparation).await?),
                };
                self.target
                    .send(
                        Request::Logout {
                            token: &sign_in.token,
                        },
                        sign_in.address,
                    )
                    .await
            }
            Case::Logout(fault) => {
                let (token, from) = self.bad_token(fault, draw, preparation).await?;
                self.target
                    .send(Request::Logout { token: &token }, from)
                    .await
            }
        })
    }

    /// Returns `found`, or registers a new account.
    async fn account(
        &self,
        found: Option<Arc<Account>>,
        draw: u64,
        preparation: &mut Duration,
    ) -> Result<Arc<Account>, Kind> {
        match found {
            Some(account) => Ok(account),
            None => timed(preparation, self.settle(draw)).await,
        }
    }

    /// An open session, which other journeys may use too. Opens a new one if the pool has none.
    async fn sign_in(&self, draw: u64, preparation: &mut Duration) -> Result<Arc<SignIn>, Kind> {
        if let Some(sign_in) = self.people.sign_in(draw) {
            return Ok(sign_in);
        }
        let SignIn { token, address, .. } = self.open(draw, preparation).await?;
        Ok(self.people.add_sign_in(token, address, draw))
    }

    /// A new session, which no other journey uses.
    async fn open(&self, draw: u64, preparation: &mut Duration) -> Result<SignIn, Kind> {
        let idle = self.people.account_to_enter(draw);
        let account = self.account(idle, draw, preparation).await?;
        let reply = timed(preparation, self.log_in(&account)).await;
        accepted(reply).map(|token| SignIn::new(token, account.address))
    }

    async fn bad_token(
        &self,
        fault: Token,
        draw: u64,
        preparation: &mut Duration,
    ) -> Result<(String, Ipv4Addr), Kind> {
        if fault == Token::Garbage {
            return Ok((random_text(40), self.people.address()));
        }
        let sign_in = self.sign_in(draw, preparation).await?;
        Ok((altered(&sign_in.token), sign_in.address))
    }

    async fn register(&self, account: &Arc<Account>, draw: u64) -> Reply {
        let reply = self.send_registration(account).await;
        if let (Verdict::Accepted, Some(token)) = (reply.verdict, &reply.token) {
            self.people.add_account(Arc::clone(account), draw);
            self.people
                .add_sign_in(token.clone(), account.address, draw);
        }
        reply
    }

    async fn send_registration(&self, account: &Account) -> Reply {
        let Account {
            email,
            password,
            address,
        } = account;
        self.target
            .send(Request::Register { email, password }, *address)
            .await
    }

    async fn log_in(&self, account: &Account) -> Reply {
        let Account {
            email,
            password,
            address,
        } = account;
        self.target
            .send(Request::Login { email, password }, *address)
            .await
    }
}

/// The token of a session that the preparation has opened.
fn accepted(reply: Reply) -> Result<String, Kind> {
    match (reply.verdict, reply.token) {
        (Verdict::Accepted, Some(token)) => Ok(token),
        _ => Err(reply.kind),
    }
}

/// Adds the duration of a future to `sum`.
async fn timed<T>(sum: &mut Duration, something: impl Future<Output = T>) -> T {
    let started = Instant::now();
    let outcome = something.await;
    *sum += started.elapsed();
    outcome
}
