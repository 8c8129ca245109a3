//! Events from the broker, converted for the Activity page.

use events::{AUTH_TOPIC, Data, Event, Handler, HandlerError, Settings, USER_TOPIC};
use opentelemetry::trace::TraceContextExt as _;
use proto::events::v1::{LoginFailedReason, LoginMethod, SessionRevokedReason};

use super::{Activity, Entry, KEPT, Kind, Source};

impl Activity {
    /// An empty list. Events arrive if the settings name a broker.
    pub(crate) fn of(settings: &Settings) -> Self {
        Self::new(if settings.is_enabled() {
            Source::Live
        } else {
            Source::Off
        })
    }

    /// Reads the last events and then all new ones, until `stop` ends.
    pub(crate) async fn feed(self, settings: &Settings, stop: impl Future<Output = ()>) {
        events::follow(settings, &[USER_TOPIC, AUTH_TOPIC], KEPT, self, stop).await;
    }
}

impl Handler for Activity {
    async fn handle(&self, event: &Event) -> Result<(), HandlerError> {
        self.push(event.into());
        Ok(())
    }

    fn connected(&self, is_connected: bool) {
        self.set_source(if is_connected {
            Source::Live
        } else {
            Source::Silent
        });
    }
}

impl From<&Event> for Entry {
    fn from(event: &Event) -> Self {
        let span = event.trace.span();
        let context = span.span_context();
        Self {
            id: event.id,
            time: event.time,
            kind: (&event.data).into(),
            account: event.subject,
            trace: context.is_valid().then(|| context.trace_id()),
        }
    }
}

impl From<&Data> for Kind {
    fn from(data: &Data) -> Self {
        match data {
            Data::UserRegistered(_) => Self::Registered,
            Data::LoginSucceeded(login) => match login.method() {
                LoginMethod::Registration => Self::SignedInByRegistering,
                LoginMethod::Password | LoginMethod::Unspecified => Self::SignedIn,
            },
            Data::LoginFailed(login) => match login.reason() {
                LoginFailedReason::WrongCredentials => Self::WrongCredentials,
                LoginFailedReason::Unspecified => Self::SignInFailed,
            },
            Data::SessionRevoked(session) => match session.reason() {
                SessionRevokedReason::Logout => Self::SignedOut,
                SessionRevokedReason::Replaced | SessionRevokedReason::Unspecified => {
                    Self::SessionRevoked
                }
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::SystemTime;

    use opentelemetry::{
        Context,
        trace::{SpanContext, SpanId, TraceFlags, TraceId, TraceState},
    };
    use proto::events::v1::{LoginFailed, LoginSucceeded, UserRegistered};
    use uuid::Uuid;

    use super::*;

    #[test]
    fn an_event_is_shown_with_its_producers_trace() {
        let span = SpanContext::new(
            TraceId::from(7),
            SpanId::from(9),
            TraceFlags::SAMPLED,
            true,
            TraceState::default(),
        );
        let event = Event {
            id: Uuid::from_u128(1),
            time: SystemTime::UNIX_EPOCH,
            source: "user".to_owned(),
            subject: Some(Uuid::from_u128(2)),
            data: Data::UserRegistered(UserRegistered::default()),
            trace: Context::new().with_remote_span_context(span),
        };
        let entry = Entry::from(&event);
        assert_eq!(entry.trace, Some(TraceId::from(7)));
        assert_eq!((entry.id, entry.account), (event.id, event.subject));
        assert_eq!(entry.kind, Kind::Registered);

        let event = Event {
            trace: Context::new(),
            ..event
        };
        assert_eq!(Entry::from(&event).trace, None);
    }

    #[test]
    fn an_unknown_reason_or_method_has_a_general_text() {
        let failed = |reason| Kind::from(&Data::LoginFailed(LoginFailed { reason }));
        assert_eq!(failed(1), Kind::WrongCredentials);
        assert_eq!(failed(99), Kind::SignInFailed);
        let login = LoginSucceeded {
            method: 99,
            ..LoginSucceeded::default()
        };
        assert_eq!(Kind::from(&Data::LoginSucceeded(login)), Kind::SignedIn);
    }
}
