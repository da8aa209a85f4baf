//! `ci/bisect.sh` finds the commit that made a kernel slower: a history of nine commits, one of which plants a
//! slowdown. What cargo would build at each commit is this program with what that commit says.

use crate::common::*;
use std::path::Path;
use std::process::{Command, Output};

const COMMITS: usize = 9;
const PLANTED: usize = 6;
/// One that does not build, in the middle, which is looked at first: nothing can be said about it.
const BROKEN: usize = 4;

fn git(folder: &Path, args: &[&str]) -> Output {
    let mut git = Command::new("git");
    let who = ["-c", "user.name=a", "-c", "user.email=a@example.org", "-c", "init.defaultBranch=main"];
    git.args(who).args(args).current_dir(folder);
    // Hooks of an outer repository tell git where to work.
    for name in ["GIT_DIR", "GIT_INDEX_FILE", "GIT_WORK_TREE"] {
        git.env_remove(name);
    }
    let path = std::env::var("PATH").expect("set");
    git.env("PATH", format!("{}:{path}", folder.parent().expect("a parent").join("bin").display()));
    git.output().expect("git runs")
}

#[test]
fn a_planted_commit_is_found() {
    let folder = Folder::new();
    let bisect = Path::new(env!("CARGO_MANIFEST_DIR")).join("../ci/bisect.sh");
    let repository = folder.path().join("repository");
    folder.make("repository");
    let scenario = folder.write(
        "tiny.toml",
        "name = 'tiny'\nsummary = 's'\nanalysis = 'a'\n[micro]\nrounds = 50\nresidency = ['l2']\ngemv = ['256x1024']\n",
    );
    // "cargo build" of a commit: a program that gates as this one does, slower by what the commit says.
    let built = folder.script("built", &format!("exec {} \"$@\" $(cat inject)", program()));
    let message = format!(r#"grep -q broken inject && exit 101; echo '{{"executable":"{built}"}}'"#);
    folder.make("bin");
    folder.script("bin/cargo", &message);
    let says = |args: &[&str]| stdout(&succeeds(git(&repository, args))).trim().to_owned();
    succeeds(git(&repository, &["init", "--quiet"]));
    let mut ids = Vec::new();
    for commit in 0..COMMITS {
        let inject = match commit {
            BROKEN => "broken".into(),
            commit if commit >= PLANTED => format!("--inject scalar-i8:{}", 60 + commit),
            commit => format!("--seed {}", commit + 1),
        };
        folder.write("repository/inject", format!("{inject}\n"));
        succeeds(git(&repository, &["add", "."]));
        succeeds(git(&repository, &["commit", "--quiet", "--message", &format!("commit {commit}")]));
        ids.push(says(&["rev-parse", "HEAD"]));
    }
    succeeds(git(&repository, &["bisect", "start", &ids[COMMITS - 1], &ids[0]]));
    let flags = ["--scenario", &scenario, "--kernels", "scalar-i8", "--delta", "20", "--out", &folder.at("run")];
    let good = program();
    let recipe = [&["bisect", "run", "bash", bisect.to_str().expect("UTF-8"), &good][..], &flags].concat();
    let found = git(&repository, &recipe);
    let said = format!("{}{}", stdout(&found), stderr(&found));
    let log = says(&["bisect", "log"]);
    let skipped = |id: &String| log.contains(&format!("git bisect skip {id}"));
    assert!(skipped(&ids[BROKEN]), "{log}");
    if let Some(commit) = (0..COMMITS).filter(|&commit| commit != BROKEN).find(|&commit| skipped(&ids[commit])) {
        // As it must be: a machine that cannot say is no commit's fault.
        println!("skipped: three gates of commit {commit} could say nothing on this busy machine");
        return;
    }
    assert!(said.lines().any(|line| line == format!("{} is the first bad commit", ids[PLANTED])), "{said}");
}
