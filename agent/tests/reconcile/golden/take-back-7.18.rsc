# Takes back what Tawi's set-up script made on this MikroTik, and leaves everything else.
# It does not touch customers: their secrets and hotspot users stay, and stay open.
# What was set before the set-up is not known any more: api-ssl is closed, the API without TLS stays
# as it is, the NTP client goes on, and so do servers of L2TP, PPTP and, before 7.17, OpenVPN.

# Rules and lists of the walled garden, the jumps first.
/ip firewall filter remove [/ip firewall filter find where comment~"^tawi-setup jumps " !dynamic]
/ip firewall filter remove [/ip firewall filter find where comment~"^tawi-setup api " !dynamic]
/ip firewall filter remove [/ip firewall filter find where comment~"^tawi-setup names " !dynamic]
/ip firewall nat remove [/ip firewall nat find where comment~"^tawi-setup names " !dynamic]
/ip firewall filter remove [/ip firewall filter find where comment~"^tawi-setup walled " !dynamic]
/ip firewall filter remove [/ip firewall filter find where comment~"^tawi-setup off " !dynamic]
/ip firewall nat remove [/ip firewall nat find where comment~"^tawi-setup redirect " !dynamic]
/ip firewall address-list remove [/ip firewall address-list find where comment~"^tawi-setup pay " !dynamic]

# The log of accounts.
/system logging remove [/system logging find where action="tawiacct"]
/system logging action remove [/system logging action find where name="tawiacct"]

# Hosts of the hotspot's walled garden.
/ip hotspot walled-garden remove [/ip hotspot walled-garden find where comment~"^tawi-setup garden " !dynamic]
/ip hotspot walled-garden ip remove [/ip hotspot walled-garden ip find where comment~"^tawi-setup garden-ip " !dynamic]

# PPPoE servers by our name: customers on them are cut off. Of several, --pppoe says which one goes.
/interface pppoe-server server remove [/interface pppoe-server server find where interface="ether4" service-name="tawi"]

# The OpenVPN server that is ours: customers on it are cut off.
/interface ovpn-server server remove [/interface ovpn-server server find where name="tawi"]

# The way in.
:if ([/ip service get api-ssl certificate] = "tawi-api") do={
    /ip service set api-ssl disabled=yes certificate=none address=""
}
/certificate remove [/certificate find where name="tawi-api"]
:if ([:len [/user find where name="tawi" comment~"^tawi-setup user "]] = 1) do={
    /user remove [/user find where name="tawi" comment~"^tawi-setup user "]
    :if ([:len [/user find where group="tawi"]] = 0) do={
        /user group remove [/user group find where name="tawi"]
    }
}
