"""Rules as somebody might add them with nft, for comparing our listing with its own. One rule a line."""

POSTROUTING = r"""
masquerade
masquerade random
masquerade fully-random,persistent
ip saddr 10.0.0.0/24 oifname "x" masquerade
meta l4proto tcp masquerade to :1000-2000
snat ip to 1.2.3.4
snat ip to 1.2.3.4-1.2.3.9
ip saddr 1.1.1.1 snat to 1.2.3.4
tcp dport 80 snat ip to 1.2.3.4:1000-2000 random
snat ip6 to fd00::1
snat ip to 1.2.3.4 persistent
"""

PREROUTING = r"""
dnat ip to 1.2.3.4
tcp dport 80 dnat ip to 1.2.3.4:8080
tcp dport 80 dnat ip6 to [fd00::1]:8080
tcp dport 80 dnat to :8080
tcp dport 80 redirect to :8080
redirect
tcp dport 80 redirect to :8000-8010 random
dnat ip to tcp dport map { 80 : 1.2.3.4, 443 : 5.6.7.8 }
dnat ip to numgen inc mod 2 map { 0 : 1.2.3.4, 1 : 5.6.7.8 }
dnat ip to jhash ip saddr mod 2 seed 0x1 map { 0 : 1.2.3.4, 1 : 5.6.7.8 }
dnat ip addr . port to tcp dport map { 80 : 1.2.3.4 . 8080, 443 : 5.6.7.8 . 8443 }
dnat ip to tcp dport map @m1
ip daddr 1.2.3.4 tcp dport 80 dnat to 5.6.7.8:80
ip6 daddr fd00::1 tcp dport 80 dnat to [fd00::2]:80
dnat ip prefix to ip daddr map { 10.0.0.0/24 : 10.1.0.0/24 }
"""

IP_FILTER = r"""
ip protocol tcp tcp dport 22 counter
reject
reject with icmp type host-unreachable
meta l4proto tcp counter tcp dport 80
meta l4proto tcp tcp dport 80
ip saddr 1.2.3.4
ip daddr != 1.2.3.4
icmp type echo-request
ip protocol icmp icmp type echo-request
meta protocol ip accept
"""

IP6_FILTER = r"""
ip6 nexthdr tcp tcp dport 22 counter
reject
ip6 saddr fd00::/8
ip6 saddr fd00::/12
ip6 saddr ::1 meta l4proto tcp accept
icmpv6 type echo-request
"""

SETS = r"""
counter cn { comment "foo" }
map mp { type inet_service : ipv4_addr; elements = { 1:1.1.1.1,2:1.1.1.1,3:1.1.1.1,4:1.1.1.1,5:1.1.1.1,6:1.1.1.1 } }
map m2 { type ipv4_addr : verdict; elements = { 1.1.1.1:accept,1.1.1.2:drop,1.1.1.3:accept } }
set sdt { type ipv4_addr; flags dynamic,timeout; size 100; timeout 1h; }
set sdk { type ipv4_addr; flags dynamic,timeout; size 100; timeout 1h; counter; }
set sdi { type ipv4_addr; flags interval,timeout; auto-merge; gc-interval 1h; elements = { 1.2.3.4 timeout 30s } }
set sdc { type ipv4_addr; flags constant; policy memory; elements = { 1.2.3.4, 1.2.3.5 } }
set e1 { type ipv4_addr; flags dynamic; counter; elements = { 1.2.3.4 counter , 1.2.3.5 , 1.2.3.6} }
set d1 { type ether_type; elements = { ip, arp, ip6, vlan, 0x1234, 8021ad } }
set d2 { type icmp_type; elements = { 0,3,4,5,8,9,10,11,12,13,14,15,16,17,18,99 } }
set d3 { type icmpv6_type; elements = { 1,2,3,4,128,129,130,131,132,133,134,135,136,137,138,141,142,143,99 } }
set d4 { typeof icmp code; elements = { 0,1,2,3,4,9,10,13,14 } }
set d5 { typeof icmpv6 code; elements = { 0,1,3,4,5,6 } }
set d6 { typeof ip dscp; elements = { 0,8,10,12,14,16,18,20,22,24,26,28,30,32,34,36,38,40,46,48,56,63,44 } }
set d7 { typeof ip ecn; elements = { 0,1,2,3 } }
set d8 { typeof meta pkttype; elements = { 0,1,2,3,4 } }
set d9 { typeof fib daddr type; elements = { unspec,unicast,local,broadcast,anycast,multicast,blackhole } }
set d10 { typeof ct status; elements = { expected,seen-reply,assured,confirmed,snat,dnat,dying } }
set d11 { typeof tcp flags; elements = { fin,syn,rst,psh,ack,urg,ecn,cwr } }
set d12 { typeof meta iiftype; elements = { 1, 512, 772, 776, 778, 99 } }
set d13 { typeof arp operation; elements = { 1,2,3,4,8,9,10,11 } }
set d14 { typeof meta skuid; elements = { 1,2,3,4,8,9,10,11 } }
set d15 { typeof ct direction; elements = { original, reply } }
set d16 { typeof iif; elements = { lo } }
set d17 { typeof numgen inc mod 5; elements = { 1,2,3,4,5,6,7 } }
set d18 { type nf_proto; elements = {ipv4,ipv6 } }
set c1 { type inet_service . inet_proto; elements = {80 . tcp, 53 . udp, 54 . udp } }
set ov { type inet_service; flags interval; elements = { 1-5, 60000-65535, 0 } }
set s4 { type ipv4_addr; elements = { 10.0.0.9,10.0.0.1,10.0.0.2,10.0.0.3,10.0.0.4,10.0.0.5,10.0.0.6,10.0.0.7 } }
set s6 { type ipv6_addr; elements = { fd00::9,fd00::1,fd00::2,fd00::3,fd00::4 } }
set sp { type inet_service; elements = { 1,2,3,4,5,6,7,8,9,10,11,12 } }
set si { type ipv4_addr; flags interval; elements = { 10.0.0.0/8, 192.168.1.1-192.168.1.9, 1.1.1.1 } comment "hey"; }
set st { type ipv4_addr; flags timeout; timeout 1h; size 100; elements = { 1.2.3.4 timeout 10m comment "x", 1.2.3.5 } }
set sc { type ipv4_addr . inet_service; elements = { 1.2.3.4 . 80, 1.2.3.5 . 81 } }
set sci { type ipv4_addr . inet_service; flags interval; elements = { 1.2.3.0/24 . 80-90, 1.2.4.5 . 81 } }
set sn { type ifname; elements = { "front", "back" , "a","b","c","d","e"} }
set sl { type inet_proto; elements = { tcp, udp, 99 , 1 ,2 ,3 ,4 ,5, 6,7,8,9,10 } }
set sm { type mark; elements = { 1,2,3,4,5,6,7,8,9,10 } }
set se { type ether_addr; elements = { 00:11:22:33:44:55, 00:11:22:33:44:56, 00:11:22:33:44:57 } }
set scs { type ct_state; elements = { new, established, related, invalid, untracked } }
set sd { type ipv4_addr; flags dynamic; size 100; }
map mm { type inet_service : mark; }
map mt { typeof ip saddr . tcp dport : meta mark; elements = { 1.2.3.4 . 80 : 5 } }
map mc { type ipv4_addr : counter; elements = { 1.2.3.4 : "cn" } }
set sty6 { typeof ct original ip daddr; }
set sempty { type ipv4_addr; }
set sty { typeof ip ttl; elements = { 1,2,3,4,5,6,7,8,9,10,11,12 } }
map m1 { type inet_service : ipv4_addr; elements = { 80 : 1.2.3.4, 443 : 5.6.7.8, 8080 : 1.1.1.1 } }
map mv { type ipv4_addr : verdict; elements = { 1.2.3.4 : accept, 5.6.7.8 : jump reg } }
map mi { type inet_service : verdict; flags interval; elements = { 1-5 : accept, 7 : drop } }
quota qn { over 10 mbytes }
limit ln { rate 10/second }
"""

CHAINS = r"""
chain a1 { type filter hook input priority 11; }
chain a2 { type filter hook input priority 10; }
chain a3 { type filter hook input priority -310; }
chain a4 { type filter hook input priority security; }
chain a5 { type nat hook postrouting priority srcnat + 1; }
chain a6 { type nat hook output priority -100; }
chain a7 { type route hook output priority -150; }
chain a8 { type filter hook ingress device "lo" priority 0; }
"""
