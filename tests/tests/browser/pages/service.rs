//! The local stack that the journeys share, with a new user for each journey.

use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, PoisonError, Weak, mpsc};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use dev::people::KIM;
use serde_json::Value;
use shared::budget::Budget;
use shared::clock::Timestamp;
use shared::config::Environment;
use shared::id::{SessionId, UserId};
use shared::store::{self, Sessions, User, Users};
use testbed::local_stack::{self, Options};
use tokio::sync::oneshot;

use super::site::Site;

/// A local stack and two other sites. The stack allows the origin of the friend.
pub(crate) struct Service {
    /// The address of the stack, without a slash at the end.
    pub(crate) url: String,
    env: Environment,
    /// The origin `https://localhost` with this port is allowed.
    pub(crate) friend: Site,
    /// No origin of this site is allowed.
    pub(crate) stranger: Site,
    users: AtomicU32,
    thread: Option<(oneshot::Sender<()>, JoinHandle<()>)>,
}

/// The service while a test uses it.
static RUNNING: Mutex<Weak<Service>> = Mutex::new(Weak::new());

impl Service {
    /// Returns the service that the running tests share. The last test that drops it stops it.
    pub(crate) fn shared() -> Arc<Self> {
        let mut running = RUNNING.lock().unwrap_or_else(PoisonError::into_inner);
        running.upgrade().unwrap_or_else(|| {
            let service = Arc::new(Self::start());
            *running = Arc::downgrade(&service);
            service
        })
    }

    /// Starts the service in a thread of its own, because the runtime of a test ends with the test.
    fn start() -> Self {
        let (ready, started) = mpsc::channel();
        let (stop, stopped) = oneshot::channel();
        let thread = thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            runtime.block_on(async {
                let (friend, stranger) = (Site::serve().await, Site::serve().await);
                let origin = friend.same_site();
                let options = Options { allowed_origin: Some(&origin), unlimited_sources: true, ..Options::default() };
                let (_process, stack) = local_stack::start(options).await;
                ready.send((stack, friend, stranger)).unwrap();
                stopped.await.ok();
            });
        });
        let (stack, friend, stranger) = started.recv().unwrap();
        let env = local_stack::environment(&stack);
        let users = AtomicU32::new(0);
        Self { url: stack.url, env, friend, stranger, users, thread: Some((stop, thread)) }
    }

    /// Adds a user.
    pub(crate) async fn new_user(&self) -> Account {
        let number = self.users.fetch_add(1, Ordering::Relaxed);
        let mut user = KIM.user().unwrap();
        user.profile.user_id = format!("traveller{number}");
        user.profile.id = UserId::parse(&*user.profile.user_id).unwrap();
        user.profile.email = format!("{}@example.com", user.profile.user_id);
        user.profile.name = format!("Traveller 김 {number}");
        let user = testbed::add(&self.env, user, KIM.password_hash(&self.env).unwrap()).await;
        Account { user, password: KIM.password }
    }

    /// Opens a persistent session that is `age` old, in no browser. Returns its tokens.
    pub(crate) async fn open_session(&self, account: &Account, age: Duration) -> (String, String) {
        let opened = Timestamp::from_secs(Timestamp::now().as_secs() - age.as_secs());
        let users = Users::from_env(store::connect(&self.env).unwrap(), &self.env).unwrap();
        let user = users.find(&account.user.profile.id, &Budget::new(None)).await.unwrap().unwrap();
        testbed::sign_in(&self.env, &user, true, opened).await
    }

    /// Ends the session of this token, as another browser does.
    pub(crate) async fn end_session(&self, account: &Account, token: &str) {
        let session = SessionId::parse(session_of(token)).unwrap();
        let sessions = Sessions::from_env(store::connect(&self.env).unwrap(), &self.env).unwrap();
        let user = &account.user.profile.id;
        let ended = sessions.end(user, &session, Timestamp::now(), &Budget::new(None)).await.unwrap();
        assert!(ended.unwrap().just_now, "the session was active");
    }
}

impl Drop for Service {
    fn drop(&mut self) {
        if let Some((stop, thread)) = self.thread.take() {
            stop.send(()).ok();
            thread.join().ok();
        }
    }
}

/// Returns the id of the session of a token.
pub(crate) fn session_of(token: &str) -> String {
    let claims = URL_SAFE_NO_PAD.decode(token.split('.').nth(1).unwrap()).unwrap();
    serde_json::from_slice::<Value>(&claims).unwrap()["sid"].as_str().unwrap().to_owned()
}

/// A user with the password of the start.
pub(crate) struct Account {
    user: User,
    pub(crate) password: &'static str,
}

impl Account {
    /// The login name.
    pub(crate) fn login(&self) -> &str {
        &self.user.profile.user_id
    }

    /// The name of the person.
    pub(crate) fn name(&self) -> &str {
        &self.user.profile.name
    }

    /// What only this person may see.
    pub(crate) fn personal(&self) -> [&str; 5] {
        let profile = &self.user.profile;
        [&profile.name, &profile.user_id, &profile.email, &profile.position, &profile.location]
    }
}
