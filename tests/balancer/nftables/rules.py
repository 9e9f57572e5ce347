"""Rules as somebody might add them with nft, for comparing our listing with its own. One rule a line."""

FILTER = r"""
counter
accept
drop
tcp dport 22 accept
udp dport 53 drop
ip saddr 10.0.0.1 counter
ip saddr != 10.0.0.1 counter
ip saddr 10.0.0.0/8 drop
ip saddr 10.16.0.0/12 drop
ip daddr 10.0.0.1-10.0.0.9 drop
ip saddr { 10.0.0.1, 10.0.0.2 } drop
ip saddr { 10.0.0.0/24, 10.1.0.0-10.1.0.7, 1.2.3.4 } drop
ip saddr != { 10.0.0.1, 10.0.0.2 } drop
ip6 saddr fd00::/64 accept
ip6 daddr fd00::1 tcp dport 80 accept
ip6 daddr { fd00::1, fd00::2 } tcp dport 80 accept
tcp dport { 80, 443 } accept
tcp dport { 1-10, 20-30, 99 } accept
tcp dport 1000-2000 accept
tcp dport != 80 drop
tcp dport >= 1024 drop
tcp dport < 1024 drop
tcp dport > 1024 drop
tcp sport 1 tcp dport 2 drop
ip saddr 1.2.3.4 ip daddr 5.6.7.8 drop
ct state new counter
ct state established,related accept
ct state invalid drop
ct state != established drop
ct state { new, established } accept
ct state vmap { established : accept, related : accept, invalid : drop }
ct status dnat counter
ct status & dnat == dnat counter
ct mark 5 accept
ct mark set 5
ct mark set meta mark
ct direction original counter
ct original ip daddr 10.0.1.10 counter
ct reply ip saddr 1.2.3.4 counter
ct helper "ftp" counter
ct expiration 30s counter
ct zone 5 counter
ct bytes > 1000 counter
ct packets > 10 counter
meta mark 1 accept
meta mark set 0x10
meta mark set ct mark
meta mark & 0xff == 1 accept
meta mark set meta mark | 0x10
meta mark set meta mark & 0xf0
meta mark set meta mark ^ 0x10
meta mark set meta mark & 0xff | 0x100
meta l4proto tcp counter
meta l4proto { tcp, udp } counter
meta l4proto { tcp, udp } th dport 53 accept
meta nfproto ipv4 counter
meta nfproto ipv4 tcp dport 80 counter
meta protocol ip counter
meta length > 1000 counter
meta pkttype broadcast drop
meta skuid 0 accept
meta skgid 5 accept
meta priority 1:2 counter
meta priority set 1:2
meta cpu 1 counter
meta iif "lo" accept
meta iiftype ether accept
meta random 5 counter
meta hour "10:00"-"11:00" counter
meta day "Monday" counter
meta time > "2020-01-01 00:00:00" counter
meta cgroup 5 counter
meta rtclassid 5 counter
iifname "front" accept
iifname "fr*" accept
iifname != "front" drop
iifname { "front", "back" } accept
oifname "back" accept
oif "lo" accept
log
log prefix "hello " level warn
log prefix "hi" group 2 snaplen 100 queue-threshold 3
log flags all
log flags tcp sequence,options
log flags ip options
log flags skuid
log level debug prefix "x"
limit rate 10/second accept
limit rate 10/minute burst 5 packets accept
limit rate over 1 mbytes/second drop
limit rate 10 kbytes/second burst 20 kbytes accept
limit rate over 5/hour drop
limit rate 1500 bytes/second accept
jump reg
goto reg
return
continue
reject
reject with tcp reset
reject with icmp type host-unreachable
reject with icmpx type admin-prohibited
reject with icmpv6 type no-route
ip saddr 1.2.3.4 reject
ip protocol tcp counter
ip protocol tcp tcp dport 22 counter
ip protocol { tcp, udp } counter
ip6 nexthdr tcp counter
ip ttl 64 counter
ip ttl < 5 counter
ip id 5 counter
ip length 100 counter
ip dscp cs1 counter
ip dscp af11 counter
ip dscp 0x3f counter
ip ecn ce counter
ip version 4 counter
ip hdrlength 5 counter
ip frag-off & 0x1fff != 0 counter
ip checksum 5 counter
ip6 hoplimit 64 counter
ip6 flowlabel 5 counter
tcp flags syn counter
tcp flags syn,ack counter
tcp flags & (fin|syn|rst|ack) == syn counter
tcp flags & (syn|ack) == syn|ack counter
tcp flags == syn counter
tcp flags != syn counter
tcp flags & syn != 0 counter
tcp flags { syn, ack } counter
tcp sequence 5 counter
tcp window 5 counter
tcp checksum 5 counter
tcp doff 5 counter
tcp option maxseg size 1400 counter
tcp option maxseg size set 1400
udp length 10 counter
udp checksum 10 counter
icmp type echo-request accept
icmp type { echo-request, echo-reply } accept
icmp code 1 counter
icmp type echo-request icmp id 5 counter
icmpv6 type nd-neighbor-solicit accept
icmpv6 type { nd-router-advert, echo-request } accept
ether saddr 00:11:22:33:44:55 counter
ether type ip counter
ip saddr . tcp dport { 1.2.3.4 . 80, 5.6.7.8 . 443 } accept
ip saddr . tcp dport vmap { 1.2.3.4 . 80 : accept, 5.6.7.8 . 443 : drop }
tcp dport vmap { 80 : jump reg, 443 : goto reg }
tcp dport vmap { 1-100 : jump reg, 443 : goto reg }
ip saddr vmap { 10.0.0.0/8 : accept, 192.168.0.0/16 : drop }
ip saddr @s4 drop
tcp dport @sp accept
tcp dport != @sp accept
ip saddr . tcp dport @sc accept
ip saddr vmap @mv
meta mark set tcp dport map { 80 : 1, 443 : 2 }
meta mark set tcp dport map @mm
counter name "cn"
quota name "qn"
limit name "ln"
quota over 10 mbytes drop
quota 5 kbytes accept
ct count over 10 drop
add @sd { ip saddr }
update @sdt { ip saddr timeout 10s } accept
add @sd { ip saddr limit rate 10/second } accept
add @sdt { ip saddr timeout 1m counter }
delete @sd { ip saddr }
numgen random mod 10 < 5 counter
numgen inc mod 2 vmap { 0 : jump reg, 1 : goto reg }
meta mark set numgen inc mod 4 offset 10
meta mark set jhash ip saddr mod 4 seed 0xdeadbeef
meta mark set jhash ip saddr . tcp sport mod 4
meta mark set symhash mod 4
jhash ip saddr mod 2 seed 0x1 vmap { 0 : jump reg, 1 : goto reg }
fib daddr type local counter
fib saddr . iif oif missing drop
fib saddr oif exists counter
socket transparent 1 counter
notrack
ip ttl set 10
tcp dport set 80
ip dscp set cs1
ip daddr set 1.2.3.4
meta nftrace set 1
ip saddr 1.2.3.4 tcp dport 80 counter log prefix "x" accept comment "all of it"
th dport 80 counter
@nh,64,8 5 counter
@th,16,16 80 counter
ip6 nexthdr 6 tcp dport 80 accept
exthdr frag exists drop
ct id 5 counter
ct l3proto ipv4 counter
ct protocol tcp counter
ct event set new
tcp option sack-permitted exists counter
sctp dport 5 counter
dccp dport 5 counter
udplite dport 5 counter
esp spi 5 counter
ah spi 5 counter
comp cpi 5 counter
igmp type membership-query counter
udp dport 53 @th,64,8 1 counter
meta l4proto tcp counter tcp dport 80
meta nfproto ipv4 counter ip saddr 1.2.3.4
meta l4proto tcp meta mark 1 tcp dport 80
meta nfproto ipv4 meta l4proto tcp tcp dport 80
meta nfproto ipv4 tcp dport 80 ip saddr 1.2.3.4
ct state == established
ct state ! established
ct state != { new, established }
ct state & (new|established) == new
tcp flags ! syn
tcp flags & (syn|ack) != syn
tcp flags & (syn|ack) == 0
tcp flags & syn == syn
tcp dport != 80-90
ip saddr != 10.0.0.0/8
ip saddr != 10.16.0.0/12
ip saddr & 255.0.255.0 == 10.0.1.0
ip saddr > 10.0.0.1
tcp dport 80 tcp sport 5 ip daddr 1.2.3.4
ip daddr 1.2.3.4 ip saddr 1.2.3.4
ip saddr 1.2.3.4 ip protocol tcp
ip saddr 1.2.3.4 ip ttl 4
ip ttl 4 ip protocol 6 ip saddr 1.2.3.4
meta nfproto ipv4 reject
meta l4proto tcp reject with tcp reset
tcp dport 80 reject
udp dport 80 reject with icmpx type port-unreachable
ip6 saddr ::1 reject with icmpx type port-unreachable
limit rate 10/second burst 7 packets
limit rate 1025 bytes/second
limit rate 10/day
limit rate 10/week
log level emerg
log group 0
log group 5
log prefix "a" flags all level debug
meta mark & 0x1 != 0
meta mark and 0x3 == 0x0
meta mark { 1, 2 }
meta mark 1-5
ct mark & 0xff == 0x1
oifname . iifname { "a" . "b" }
iifname . tcp dport { "a" . 80 }
iifname "a" tcp dport 80
ip saddr . ip daddr . tcp dport { 1.2.3.4 . 1.2.3.5 . 80 }
ip saddr . tcp dport { 1.2.3.0/24 . 80-90 }
meta l4proto . th dport { tcp . 80, udp . 53 }
meta l4proto 99
meta l4proto != tcp
ip protocol != tcp
tcp dport { 0-1023 }
tcp dport 0-1023
ip saddr 10.0.0.0-10.0.0.255
tcp dport 0x50
meta iifgroup 5
ct status snat,dnat
counter packets 5 bytes 10
meta length 64-128
tcp option timestamp exists
ip saddr { 1.2.3.4 } counter accept
ip saddr vmap { 1.2.3.4 : jump z, 1.2.3.5 comment "elem" : goto z }
"""

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
