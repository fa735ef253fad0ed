//! `latchkey users`.

use serde_json::Value;

use crate::world::World;

const PASSWORD: &str = "paper boats in the rain";

fn add_kim(world: &World) {
    let added = world.run_with(
        &[
            "users",
            "add",
            "kim",
            "--email",
            "kim@example.com",
            "--name",
            "김코딩",
            "--role",
            "admin",
            "--password-stdin",
        ],
        PASSWORD,
    );
    assert_eq!(added.code, 0, "{added:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_added_user_is_shown_and_listed_in_each_format() {
    let world = World::new().await;
    add_kim(&world);
    let shown = world.run(&["users", "show", "KIM", "--output", "json"]);
    let shown: Value = serde_json::from_str(&shown.stdout).unwrap();
    assert_eq!(
        (&shown["userId"], &shown["password"], &shown["activeSessions"]),
        (&"kim".into(), &"argon2id".into(), &0.into())
    );
    assert_eq!(shown["roles"], serde_json::json!(["admin"]));
    let list = world.run(&["users", "list"]);
    println!("{list:?}");
    let csv = world.run(&["users", "list", "--search", "kim@", "-o", "csv"]);
    println!("{csv:?} {:?}", world.events());
}
