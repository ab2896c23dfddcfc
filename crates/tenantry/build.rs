//! Migrations are embedded by a macro that does not watch their folder: a new file must build the crate again.

fn main() {
    println!("cargo:rerun-if-changed=migrations");
}
