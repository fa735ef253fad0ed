//! Which stack a command uses, and what it says if there is none.

use crate::users::assert_failed;
use crate::world::{World, answer, checkout, latchkey};

#[test]
fn a_command_without_a_stack_says_how_to_name_one() {
    let refused = answer(latchkey().args(["users", "list"]));
    assert_failed(&refused, 5, "Name a deployed one with --stack NAME or LATCHKEY_STACK, or use --local");
}

#[test]
fn without_a_local_stack_the_message_says_how_to_start_one() {
    let folder = checkout();
    let refused = answer(latchkey().current_dir(folder.path()).args(["--local", "users", "list"]));
    assert_failed(&refused, 3, "No `cargo dev` runs in this checkout.");
}

#[tokio::test(flavor = "multi_thread")]
async fn one_of_several_local_stacks_is_named_by_its_port() {
    let world = World::new().await;
    assert_eq!(world.run(&["users", "list"]).code, 0);
    let mut other = latchkey();
    let other = answer(other.current_dir(world.folder()).args(["--local=4100", "users", "list"]));
    assert_failed(&other, 3, "runs at port 4100");
}

#[test]
fn without_credentials_or_region_the_message_says_what_to_set() {
    let refused = answer(latchkey().args(["--stack", "latchkey", "users", "list"]));
    assert_failed(&refused, 6, "There is no region. Use --region, AWS_REGION, or a profile with a region.");
    let refused = answer(latchkey().args(["--stack", "latchkey", "--region", "eu-west-1", "users", "list"]));
    assert_failed(&refused, 6, "There are no AWS credentials");
}

#[test]
fn an_unreachable_region_is_an_outage() {
    let mut command = latchkey();
    command
        .env("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
        .env("AWS_ACCESS_KEY_ID", "a")
        .env("AWS_SECRET_ACCESS_KEY", "b");
    let refused = answer(command.args(["--stack", "latchkey", "--region", "eu-west-1", "users", "list"]));
    assert_failed(&refused, 7, "AWS did not answer cloudformation:DescribeStacks");
}
