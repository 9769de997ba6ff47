//! Who a user of this machine is. Pure: the text of the list of users in, names out.
//!
//! `config.rs` reads the environment and asks here who is at the shell; `cli/data_directory.rs` whose a directory is.

/// The list of users, where it is a file (`man 5 passwd`).
pub const PASSWD: &str = "/etc/passwd";

/// The name of a user; `None` for one that comes from elsewhere than the list.
#[must_use]
pub fn user_name(passwd: &str, user: u32) -> Option<&str> {
    let wanted = user.to_string();
    passwd.lines().map(|line| line.split(':')).find_map(|mut fields| {
        let name = fields.next()?;
        (fields.nth(1)? == wanted).then_some(name)
    })
}

/// Who is at the shell: whoever called sudo, whoever signed in, or else whose process this is. A service, a container and a shell
/// of `su -` may have none of the variables.
#[must_use]
pub fn at_the_shell(variable: impl Fn(&str) -> Option<String>, passwd: &str, user: u32) -> String {
    let named = || user_name(passwd, user).map(str::to_owned);
    ["SUDO_USER", "USER", "LOGNAME"]
        .into_iter()
        .find_map(variable)
        .or_else(named)
        .unwrap_or_else(|| user.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    const LISTED: &str =
        "root:x:0:0:root:/root:/bin/sh\nbroken\ntawi-controller:x:997:997::/:/usr/sbin/nologin\n";

    #[test]
    fn users_are_named_as_they_are_listed() {
        assert_eq!(user_name(LISTED, 997), Some("tawi-controller"));
        assert_eq!(user_name(LISTED, 0), Some("root"));
        assert_eq!(user_name(LISTED, 5), None);
        assert_eq!(user_name("", 5), None);
    }

    #[test]
    fn somebody_is_at_the_shell_whatever_the_environment_says() {
        let check = |set: &[(&str, &str)], user, expected: &str| {
            let variable = |name: &str| {
                set.iter().find(|(known, _)| *known == name).map(|(_, value)| (*value).to_owned())
            };
            assert_eq!(at_the_shell(variable, LISTED, user), expected, "{set:?}");
        };
        check(&[("USER", "root"), ("SUDO_USER", "amina"), ("LOGNAME", "root")], 0, "amina");
        check(&[("LOGNAME", "juma"), ("USER", "amina")], 0, "amina");
        check(&[("LOGNAME", "juma")], 0, "juma");
        check(&[], 0, "root");
        check(&[], 5, "5");
    }
}
