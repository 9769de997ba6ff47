# Prepares this MikroTik for Tawi's agent. Made for RouterOS 7.18; on another release make it anew.
# SECRET: it holds the password of the agent's user. Remove this file from the router when it has
# run.
# Paste all of it into a terminal, or copy it to the router and run: /import file-name=tawi.rsc
# It may run again at any time: what is there already is left as it is, and what an earlier one made
# otherwise is replaced.
# Everything stands between one pair of braces: nothing happens before the last one, and where a
# line begins with STOP, nothing behind it has happened.
# Afterwards, in routers.toml beside agent.toml: address = "192.168.88.1:8729", user = "tawi", and
# the tls_pin, which is the last line that it prints. The agent speaks from 127.0.0.1.

{
    # What stops it, before anything is changed.
    :if (([:len [/user find where name="tawi"]] = 1) && ([:len [/user find where name="tawi" comment~"^tawi-setup user "]] = 0)) do={
        :error "STOP: a user tawi is there that this script did not make. Nothing was changed. Choose another name with --user."
    }
    :if ([:len [/interface find where name="ether4"]] = 0) do={
        :error "STOP: there is no interface ether4. Nothing was changed. Look with /interface print, and name the one where customers are with --pppoe."
    }
    :if ([/ip dns get allow-remote-requests] = false) do={
        :error "STOP: the router answers no questions for names, so that who has not paid would find no page. Nothing was changed. Name a resolver with --resolver; or let the router answer, and paste this again: /ip dns set allow-remote-requests=yes, with port 53 barred in the chain input on every interface to the Internet."
    }

    # A certificate for api-ssl, signed by the router itself: without one RouterOS offers ciphers
    # that prove nothing, and the agent refuses them. Making its key takes a while.
    :if ([:len [/certificate find where name="tawi-api"]] = 0) do={
        /certificate add name=tawi-api common-name=tawi-api key-size=2048 days-valid=3650 subject-alt-name=IP:192.168.88.1
    }
    :if ([:len [/certificate get [/certificate find where name="tawi-api"] fingerprint]] < 64) do={
        /certificate sign [/certificate find where name="tawi-api"]
    }
    {
        :local waited 0
        :while (([:len [/certificate get [/certificate find where name="tawi-api"] fingerprint]] < 64) && ($waited < 120)) do={
            :delay 1s
            :set waited ($waited + 1)
        }
    }
    :if ([:len [/certificate get [/certificate find where name="tawi-api"] fingerprint]] < 64) do={
        :error "STOP: the certificate is not signed yet. Wait a minute, and paste this script again."
    }

    # The API over TLS, for the agent's address alone. What was set before is printed, in case
    # another program used it: allow that with --also-allow.
    :if ([/ip service get api-ssl certificate] != "tawi-api") do={
        :put ("api-ssl had the certificate: " . [/ip service get api-ssl certificate])
        /ip service set api-ssl certificate=tawi-api
    }
    :if ([/ip service get api-ssl tls-version] != "only-1.2") do={
        /ip service set api-ssl tls-version=only-1.2
    }
    :if ([:tostr [/ip service get api-ssl address]] != "127.0.0.1/32") do={
        :put ("api-ssl was open for: " . [:tostr [/ip service get api-ssl address]])
        /ip service set api-ssl address=127.0.0.1/32
    }
    :if ([/ip service get api-ssl disabled] = true) do={
        /ip service set api-ssl disabled=no
    }
    # The API without TLS sends passwords in clear text. Programs that still need it:
    # --keep-plain-api.
    :if ([/ip service get api disabled] = false) do={
        /ip service set api disabled=yes
    }
    # An address list leaves the port visible, so the firewall lets the agent in before any rule
    # that drops.
    :if ([:len [/ip firewall filter find where comment~"^tawi-setup api 6d04061f " !dynamic]] != 1) do={
        /ip firewall filter remove [/ip firewall filter find where comment~"^tawi-setup api " !dynamic]
        :local first [/ip firewall filter find where chain=input !dynamic]
        :if ([:len $first] = 0) do={
            /ip firewall filter add chain=input action=accept protocol=tcp src-address=127.0.0.1 dst-port=8729 comment="tawi-setup api 6d04061f 1"
        } else={
            /ip firewall filter add chain=input action=accept protocol=tcp src-address=127.0.0.1 dst-port=8729 comment="tawi-setup api 6d04061f 1" place-before=[:pick $first 0]
        }
    }

    # The agent's group and user, with no more rights than it needs. Mind that `write` may change
    # most of the router: the password and the address are what guards it. The user is known by its
    # comment, which changes with the password.
    :if ([:len [/user group find where name="tawi"]] = 0) do={
        /user group add name="tawi" policy=!local,!telnet,!ssh,!ftp,!reboot,read,write,!policy,!test,!winbox,!password,!web,!sniff,!sensitive,api,!romon,!rest-api
    }
    :if ([:len [/user find where name="tawi"]] = 0) do={
        /user add name=tawi group=tawi address=127.0.0.1/32 password=Zk3vTq8RmW1xYb6NcH5dLs9JpF2gAe7U comment="tawi-setup user 40c11371"
    }
    :if (([:len [/user find where name="tawi" comment="tawi-setup user 40c11371"]] = 0) && ([:len [/user find where name="tawi" comment~"^tawi-setup user "]] = 1)) do={
        /user group set [/user group find where name="tawi"] policy=!local,!telnet,!ssh,!ftp,!reboot,read,write,!policy,!test,!winbox,!password,!web,!sniff,!sensitive,api,!romon,!rest-api
        /user set [/user find where name="tawi"] group=tawi address=127.0.0.1/32 password=Zk3vTq8RmW1xYb6NcH5dLs9JpF2gAe7U comment="tawi-setup user 40c11371"
    }

    # Account lines hold the exact bytes of every session that ended. A memory buffer of their own
    # keeps them while the agent is away, and costs no flash.
    :if ([:len [/system logging action find where name="tawiacct"]] = 0) do={
        /system logging action add name=tawiacct target=memory memory-lines=10000
    }
    :if ([:len [/system logging find where action="tawiacct"]] != 2) do={
        /system logging remove [/system logging find where action="tawiacct"]
        /system logging add topics=ppp,account action=tawiacct
        /system logging add topics=hotspot,account action=tawiacct
    }

    # What customers who have not paid may reach: the pay page and what it needs. The router
    # resolves these names by itself. Agent and profiles put such customers into the list
    # tawi-walled, and those who may reach nothing into tawi-off.
    :if ([:len [/ip firewall address-list find where comment~"^tawi-setup pay b2fda302 " !dynamic]] != 3) do={
        /ip firewall address-list remove [/ip firewall address-list find where comment~"^tawi-setup pay " !dynamic]
        /ip firewall address-list add list=tawi-pay address=198.51.100.7 comment="tawi-setup pay b2fda302 1"
        /ip firewall address-list add list=tawi-pay address=203.0.113.10 comment="tawi-setup pay b2fda302 2"
        /ip firewall address-list add list=tawi-pay address=pay.isp.example comment="tawi-setup pay b2fda302 3"
    }

    # The walled garden. Its rules stand in chains of their own, and the jumps to them before every
    # rule of the router, above all before one that accepts established connections. FastTrack goes
    # past all of them: leave these customers out of it.
    # They bar what passes through the router, and nothing of the router itself. Those in the lists
    # go on asking it for an address and for names, which the pay page needs. Who may reach WinBox,
    # SSH and its other services is the same question for customers who have paid: answer it in the
    # chain input and with the addresses in /ip service. A web proxy or SOCKS server of the router
    # would carry traffic past these rules: leave them off.
    # They bar IPv4 alone: lines have no IPv6 address that could be put into a list.
    :if ([:len [/ip firewall filter find where comment~"^tawi-setup walled c0935e28 " !dynamic]] != 3) do={
        /ip firewall filter remove [/ip firewall filter find where comment~"^tawi-setup walled " !dynamic]
        /ip firewall filter add chain=tawi-walled action=accept dst-address-list=tawi-pay comment="tawi-setup walled c0935e28 1"
        /ip firewall filter add chain=tawi-walled action=reject protocol=tcp reject-with=tcp-reset comment="tawi-setup walled c0935e28 2"
        /ip firewall filter add chain=tawi-walled action=drop comment="tawi-setup walled c0935e28 3"
    }
    :if ([:len [/ip firewall filter find where comment~"^tawi-setup off d94e55c8 " !dynamic]] != 1) do={
        /ip firewall filter remove [/ip firewall filter find where comment~"^tawi-setup off " !dynamic]
        /ip firewall filter add chain=tawi-off action=drop comment="tawi-setup off d94e55c8 1"
    }
    # Names they get from the router itself: whatever else they ask on port 53 is led there, past
    # whichever resolver their device was given. Were any host open to them on that port, a tunnel
    # there would be the whole Internet for nothing. What is left is a tunnel through a resolver
    # that asks on for them, which is slow and cannot be barred without barring names.
    # NAT looks at new connections alone: what a device had open before to another resolver is
    # barred, until the device asks anew.
    # The accepts in the chain input stand before every other rule there, and fit a packet from the
    # Internet that bears such a customer's address too: put a rule above them that drops such
    # packets on the interfaces to the Internet, or, where answers go out the way that questions
    # came in, let the router do it: /ip settings set rp-filter=strict
    :if ([:len [/ip firewall nat find where comment~"^tawi-setup names 41fc6023 " !dynamic]] != 2) do={
        /ip firewall nat remove [/ip firewall nat find where comment~"^tawi-setup names " !dynamic]
        :local first [/ip firewall nat find where chain=dstnat !dynamic]
        :if ([:len $first] = 0) do={
            /ip firewall nat add chain=dstnat action=redirect protocol=udp src-address-list=tawi-walled dst-port=53 to-ports=53 comment="tawi-setup names 41fc6023 1"
            /ip firewall nat add chain=dstnat action=redirect protocol=tcp src-address-list=tawi-walled dst-port=53 to-ports=53 comment="tawi-setup names 41fc6023 2"
        } else={
            /ip firewall nat add chain=dstnat action=redirect protocol=udp src-address-list=tawi-walled dst-port=53 to-ports=53 comment="tawi-setup names 41fc6023 1" place-before=[:pick $first 0]
            /ip firewall nat add chain=dstnat action=redirect protocol=tcp src-address-list=tawi-walled dst-port=53 to-ports=53 comment="tawi-setup names 41fc6023 2" place-before=[:pick $first 0]
        }
    }
    :if ([:len [/ip firewall filter find where comment~"^tawi-setup names 8e4d58c4 " !dynamic]] != 2) do={
        /ip firewall filter remove [/ip firewall filter find where comment~"^tawi-setup names " !dynamic]
        :local first [/ip firewall filter find where chain=input !dynamic]
        :if ([:len $first] = 0) do={
            /ip firewall filter add chain=input action=accept protocol=udp src-address-list=tawi-walled dst-port=53 comment="tawi-setup names 8e4d58c4 1"
            /ip firewall filter add chain=input action=accept protocol=tcp src-address-list=tawi-walled dst-port=53 comment="tawi-setup names 8e4d58c4 2"
        } else={
            /ip firewall filter add chain=input action=accept protocol=udp src-address-list=tawi-walled dst-port=53 comment="tawi-setup names 8e4d58c4 1" place-before=[:pick $first 0]
            /ip firewall filter add chain=input action=accept protocol=tcp src-address-list=tawi-walled dst-port=53 comment="tawi-setup names 8e4d58c4 2" place-before=[:pick $first 0]
        }
    }
    :if ([:len [/ip firewall filter find where comment~"^tawi-setup jumps 52b64c1a " !dynamic]] != 3) do={
        /ip firewall filter remove [/ip firewall filter find where comment~"^tawi-setup jumps " !dynamic]
        :local first [/ip firewall filter find where chain=forward !dynamic]
        :if ([:len $first] = 0) do={
            /ip firewall filter add chain=forward action=jump jump-target=tawi-off src-address-list=tawi-off comment="tawi-setup jumps 52b64c1a 1"
            /ip firewall filter add chain=forward action=jump jump-target=tawi-off dst-address-list=tawi-off comment="tawi-setup jumps 52b64c1a 2"
            /ip firewall filter add chain=forward action=jump jump-target=tawi-walled src-address-list=tawi-walled comment="tawi-setup jumps 52b64c1a 3"
        } else={
            /ip firewall filter add chain=forward action=jump jump-target=tawi-off src-address-list=tawi-off comment="tawi-setup jumps 52b64c1a 1" place-before=[:pick $first 0]
            /ip firewall filter add chain=forward action=jump jump-target=tawi-off dst-address-list=tawi-off comment="tawi-setup jumps 52b64c1a 2" place-before=[:pick $first 0]
            /ip firewall filter add chain=forward action=jump jump-target=tawi-walled src-address-list=tawi-walled comment="tawi-setup jumps 52b64c1a 3" place-before=[:pick $first 0]
        }
    }
    # Pages that they open over HTTP are led to the pay page, which must answer for any host. HTTPS
    # cannot be led anywhere without a false certificate.
    :if ([:len [/ip firewall nat find where comment~"^tawi-setup redirect cba59a02 " !dynamic]] != 1) do={
        /ip firewall nat remove [/ip firewall nat find where comment~"^tawi-setup redirect " !dynamic]
        :local first [/ip firewall nat find where chain=dstnat !dynamic]
        :if ([:len $first] = 0) do={
            /ip firewall nat add chain=dstnat action=dst-nat protocol=tcp src-address-list=tawi-walled dst-address-list=!tawi-pay dst-port=80 to-addresses=203.0.113.10 to-ports=8080 comment="tawi-setup redirect cba59a02 1"
        } else={
            /ip firewall nat add chain=dstnat action=dst-nat protocol=tcp src-address-list=tawi-walled dst-address-list=!tawi-pay dst-port=80 to-addresses=203.0.113.10 to-ports=8080 comment="tawi-setup redirect cba59a02 1" place-before=[:pick $first 0]
        }
    }

    # A PPPoE server on each named interface, where none is. Profiles are copied from `default`,
    # which needs a local address and a pool: tawi-agent doctor looks.
    :if ([:len [/interface pppoe-server server find where service-name="tawi" interface!="ether4"]] != 0) do={
        :put "MIND: a PPPoE server called tawi is on another interface too. If an earlier script made it and it is not wanted there, remove it: /interface pppoe-server server print"
    }
    :if ([:len [/interface pppoe-server server find where interface="ether4"]] = 0) do={
        /interface pppoe-server server add service-name=tawi interface=ether4 one-session-per-host=yes disabled=no
    }

    # The time, without which dates in the log mean nothing. A client that runs already is left as
    # it is; --time-server sets it.
    :if ([/system ntp client get enabled] = false) do={
        /system ntp client set enabled=yes servers=pool.ntp.org
    }

    # What guests of the hotspot may reach before they log in: pages by name, and everything else by
    # address. The hotspot itself is made with: /ip hotspot setup
    :if ([:len [/ip hotspot walled-garden find where comment~"^tawi-setup garden c84b6702 " !dynamic]] != 1) do={
        /ip hotspot walled-garden remove [/ip hotspot walled-garden find where comment~"^tawi-setup garden " !dynamic]
        /ip hotspot walled-garden add action=allow dst-host=pay.isp.example comment="tawi-setup garden c84b6702 1"
    }
    :if ([:len [/ip hotspot walled-garden ip find where comment~"^tawi-setup garden-ip 83c84b56 " !dynamic]] != 3) do={
        /ip hotspot walled-garden ip remove [/ip hotspot walled-garden ip find where comment~"^tawi-setup garden-ip " !dynamic]
        /ip hotspot walled-garden ip add action=accept dst-address=198.51.100.7 comment="tawi-setup garden-ip 83c84b56 1"
        /ip hotspot walled-garden ip add action=accept dst-address=203.0.113.10 comment="tawi-setup garden-ip 83c84b56 2"
        /ip hotspot walled-garden ip add action=accept dst-host=pay.isp.example comment="tawi-setup garden-ip 83c84b56 3"
    }
    :if ([:len [/ip hotspot find]] = 0) do={
        :put "MIND: no hotspot server is there yet: /ip hotspot setup"
    }

    # IPv6 is part of release 7, and on unless somebody has switched it off.
    :put "MIND: the walls bar IPv4 alone. Where customers have IPv6 (/ipv6 address print), those who have not paid go on over it. Without need for it: /ipv6 settings set disable-ipv6=yes"

    # What the agent must know of this router, last.
    :put "Done. Put the next line into routers.toml at the agent, in the [[router]] table of this router, in place of"
    :put "any tls_pin that is there; then: systemctl restart tawi-agent; tawi-agent doctor"
    :put ("tls_pin = \"" . [/certificate get [/certificate find where name="tawi-api"] fingerprint] . "\"")
}
