r"""Our own lists: who says in its user agent that it is not a person, and apps that are.

Rules of this file:
- Pure.
- Patterns are regular expressions without lookaround or references, so that the native
  matcher takes them and needs linear time.  Within all lists the first that matches wins.
- Names come from here and never out of an agent: whoever invents agents cannot make names.
- A change of anything here, or another version of ua-parser's rules, is a new LIST_VERSION.
"""

from itertools import chain

LIST_VERSION = 1
# What LIST_VERSION stands for (`agents.digest()`): a test compares, so that neither changes alone.
LIST_DIGEST = "c0fa00e47355f2fdd102a2a3cbe2def8"

Entries = tuple[tuple[str, str], ...]  # pattern, name; an empty name: it names nobody we know


def entries(text: str) -> Entries:
    r"""Read a list: `name = pattern` in each line, or words that stand for themselves.

    A word is found where a word begins so.  A name may have several lines, or none: then it is
    left out, and nobody is named.
    """
    return tuple(chain.from_iterable(map(_line, filter(None, text.splitlines()))))


def _line(line: str) -> Entries:
    name, found, pattern = line.partition("= ")
    if not found:
        return tuple((rf"\b{word}", word) for word in line.split())
    return ((pattern, name.rstrip()),)


# Looks for weaknesses, or judges a link in the place of somebody who got it.
SCANNERS: Entries = entries(
    r"""
Nuclei sqlmap masscan Nikto WPScan zgrab CensysInspect Nessus OpenVAS Acunetix
InternetMeasurement Expanse Shodan LeakIX l9explore l9tcpid Detectify Netsparker Qualys Burp
feroxbuster gobuster DirBuster ffuf Wfuzz Arachni w3af Skipfish NetSystemsResearch ALittleClient
SecurityScanCard urlscan Proofpoint Mimecast VirusTotal GenomeCrawlerd WhatWeb
NetcraftSurveyAgent ModatScanner
Nuclei = ^sqlmap
Nuclei = (?i)project-?discovery|nuclei
Nmap = (?i)nmap scripting engine|\bnmap\b
Nikto = (?i)\bnikto\b
Odin = getodin|Odin;
Expanse = Palo Alto Networks|paloaltonetworks
ffuf = Fuzz Faster U Fool
Probe = Jorgee|Morfeus|ZmEu|Mozilla/5\.0 zgrab|muieblackcat
Exploit = \$\{jndi:|\(\) \{[ ]
Netcraft = (?i)netcraft
Riddler = F-Secure Riddler|Riddler
Barracuda = Barracuda(?:LinkProtect| Sentinel)?
Safe Links = (?i)safe ?links|Defender for Office|MSOffice-SafeLinks
Google Safety = Google-Safety
Cisco = Cisco (?:Umbrella|Ironport)|IronPort
Scanner = CookieHubScan|CookieHubVerify|Hardenize|SecurityHeaders|SSL ?Labs|testssl|watchTowr
Scanner = (?i)\b(?:vulnerability|security|vuln)[ -]?(?:scan|check|test|research)
"""
)

# Fetches a link because somebody sent or posted it, to show what is behind it.
PREVIEWS: Entries = entries(
    r"""
Slackbot = Slack-ImgProxy|Slackbot
TelegramBot = TelegramBot
Discordbot = Discordbot
LinkedInBot = LinkedInBot
Microsoft Teams = SkypeUriPreview|Microsoft-Teams-LinkPreview|Teams-LinkPreview
iMessage = facebookexternalhit/1\.1 Facebot Twitterbot
LINE = line-poker|Linebot
KakaoTalk = (?i)kakaotalk-scrap|kakaostory-og-reader|kakaotalk-og
Facebook = facebookexternalhit|Facebot|facebookcatalog|meta-externalfetcher
Twitterbot = Twitterbot
WhatsApp = ^WhatsApp(?:/|$)|\bWhatsApp/[\d.]+ [AINW]\b|WhatsAppBot
Viber = ^Viber|ViberUrlDownloader
Snapchat = Snap URL Preview|SnapchatPreview
Redditbot = (?i)\bredditbot\b
VK = vkShare
OK = OdklBot
Embedly = Iframely|Embedly
BingPreview = BingPreview
Google Preview = GoogleImageProxy|Google-PageRenderer|Google Web Preview
Yahoo Preview = YahooMailProxy|Yahoo Link Preview
Mastodon = Mastodon/[\d.]+|^http\.rb/.*Mastodon|Mastodon/
Fediverse = Pleroma|Akkoma|Misskey|Pixelfed|Friendica|Lemmy|PeerTube|Firefish|Sharkey|GoToSocial
Fediverse = Mbin|kbinBot|BookWyrm|gotosocial|Iceshrimp|WriteFreely|SummalyBot
Matrix = Synapse|matrix-media-repo|Dendrite|Conduit
Bluesky = Cardyb|Bluesky
Signal = SignalPreview|Signal-Link-Preview
Zoom = Zoom(?:Chat)?Preview|Zoombot
Chat server = Mattermost-Bot|Rocket\.Chat
Notion = Notionbot|NotionEmbedder|NotionLinkPreview
Board = Trello(?:Bot)?/|Asana/|AtlassianBot|Jira-Link
XING = XING-contenttabreceiver|xing\.com
Tumblr = TumblrBot|^Tumblr/
Flipboard = FlipboardProxy|FlipboardRSS|FlipboardBrowserProxy
Preview = Nuzzel|Trendsmap|ShortLinkTranslate|LinkPreview|[Ll]ink[ -][Pp]review
Preview = [Uu]rl[ -]?[Pp]review|OgScrper|opengraph|[Oo]pen ?[Gg]raph|MetaInspector|unfurl
Steam = Valve/Steam HTTP Client|Steam.*chat
Favicon = DuckDuckGo-Favicons-Bot|Google Favicon
Microsoft Office = Microsoft (?:Word|Excel|PowerPoint|Office Existence|Office Protocol)
Microsoft Office = ^Mozilla/4\.0 \(compatible; ms-office
Apple share sheet = SharingExtension|SharingUIService|ShareSheetUI|LinkPresentation
Preview = Hatena|Discourse Forum Onebox|github-camo|TwilioProxy|Citoid|Onebox
"""
)

# Asks whether something is still there.
MONITORS: Entries = entries(
    r"""
UptimeRobot Pingdom StatusCake Site24x7 HetrixTools updown Uptime-Kuma Checkly Silktide Datadog
NewRelicPinger GoogleStackdriverMonitoring freshping PodUptime Zabbix ELB-HealthChecker
kube-probe check_http Montastic Uptimebot AlertSite Hyperping NewRelicSynthetics RuxitSynthetic
ThousandEyes GTmetrix DareBoost NodePing uptrends AppInsights Uptimia Siteimprove Poduptime
Dotcom-Monitor SiteUptime WPUmbrella Nagios Catchpoint Dynatrace Instatus OhDear Cronitor Sentry
Gatus Statuscake
Better Stack = (?i)better ?(?:uptime|stack)
Amazon Route 53 = Amazon[- ]Route ?53
Google Health Check = GoogleHC/
Prometheus = Blackbox[ -]Exporter|^Prometheus/
Health check = Consul Health Check|HAProxy|Traefik|Envoy/HC
Uptime monitor = Uptime/|uptime\.com
Uptime monitor = (?i)uptime[ -]?(?:monitor|check|bot)
Cloudflare = Cloudflare-(?:Healthchecks|Traffic|SSLDetector|AlwaysOnline)|CloudFlare-
"""
)

# Says who it is, and is nobody.
BOTS: Entries = entries(
    r"""
Bare Mozilla = ^.?Mozilla(?:/\d\.\d)?[').]*$
Podcast service = ^Spotify/1\.0$
Apple Watch feed = ^\(null\)/\(null\) watchOS|^atc/.*watchOS
Feedly = Feedly
Google AdsBot = AdsBot-Google|Mediapartners-Google|AdsBot
Google Gemini = Google-NotebookLM|Google-Gemini|GoogleAgent|Google-Extended
Google Podcasts bot = Google-(?:Podcast|Podcasts)|GooglePodcasts-Manager|Google-Podcast
Googlebot = Googlebot|GoogleOther|Google-InspectionTool|Storebot-Google|APIs-Google
Googlebot = FeedFetcher-Google|Google-Read-Aloud|Google-Site-Verification|Google-CloudVertexBot
Googlebot = GoogleProducer|Google-Apps-Script|DuplexWeb-Google|Google-Adwords|Chrome-Lighthouse
Googlebot = Google Page Speed
Bingbot = (?i)bingbot|adidxbot|msnbot|MicrosoftPreview
DuckDuckBot = DuckDuckBot|DuckAssistBot
YandexBot = \bYandex(?:[A-Z][A-Za-z]+/|Bot|\.com/bots)|\+http://yandex
Baiduspider = (?i)baiduspider|baidu-yunguance|BaiduBoxApp-Bot
Yahoo! Slurp = Yahoo! Slurp|Yahoo.*crawler
Applebot = Applebot|iTMS|^atc/|AppleNewsBot|iTunes-?Podcast|^Jakarta Commons.*Apple
Amazonbot = Amazonbot|Amazon-?Kendra|AmazonProductDiscovery|Amzn-SearchBot
Amazon Music bot = Amazon Music Podcast
OpenAI = GPTBot|ChatGPT-User|OAI-SearchBot
ClaudeBot = (?i)claudebot|claude-web|claude-user|claude-searchbot|anthropic-ai
PerplexityBot = PerplexityBot|Perplexity-User
Meta = meta-externalagent|Meta-ExternalAgent|FacebookBot|meta-webindexer
Bytespider = Bytespider|TikTokSpider
CCBot = CCBot|commoncrawl
PetalBot = PetalBot|AspiegelBot
AI crawler = cohere-ai|MistralAI-User|Diffbot|AI2Bot|YouBot|Timpibot|omgili|webzio|ImagesiftBot
AI crawler = Kangaroo Bot|PanguBot|Cotoyogi|Ai2Bot|FirecrawlAgent|Crawl4AI|Andibot|DeepSeek|xAI-
AI crawler = GrokBot|iaskspider|QuillBot|Devin/|Operator/|NovaAct|Tavily|ExaBot|PhindBot
AhrefsBot = (?i)ahrefs(?:bot|siteaudit)
SemrushBot = (?i)semrushbot|SiteAuditBot|SplitSignalBot|SemrushBot
MJ12bot = MJ12bot
DotBot = (?i)dotbot|rogerbot
DataForSeoBot = (?i)dataforseo
Sogou = (?i)sogou.*spider|Sogou web
SeznamBot = SeznamBot
Pinterestbot = Pinterestbot|Pinterest/0\.|Pinterest.*bot
Archive.org = (?i)ia_archiver|archive\.org_bot|heritrix|Wayback|ArchiveBot|Archive-It
Screaming Frog = Screaming Frog
HTTrack = HTTrack
Barkrowler = Barkrowler|babbar
BLEXBot = BLEXBot|Blexbot
SEO crawler = MegaIndex|SEOkicks|SeobilityBot|serpstatbot|linkdex|Cliqzbot|SISTRIX|XoviBot
SEO crawler = SEOdiver|OnCrawl|DeepCrawl|Datanyze|PTST/|Lumar|RyteBot|spbot|Sitebulb|SEO-?Spider
SEO crawler = Majestic|LinkpadBot|MauiBot
TurnitinBot = (?i)turnitin
Headless browser = (?i)headless|phantomjs|puppeteer|playwright|selenium|slimerjs|electron-fetch
Headless browser = (?i)Splash/|jsdom/|zombie\.js|cypress/
Podcast fetcher = Overcast/[\d.]+ Podcast Sync|PocketCasts/1\.0 |Pocket Casts.*Feed
Podcast fetcher = PlayerFM/1\.0 Podcast|Downcast.*[Bb]ot|Goodpods.*[Bb]ot|Castbox.*[Bb]ot
Feed reader = Feedbin|Inoreader|NewsBlur|Feedspot|TheOldReader|Superfeedr|Miniflux|FreshRSS
Feed reader = Tiny Tiny RSS|CommaFeed|Feed Wrangler|BazQux|Bloglovin|UniversalFeedParser
Feed reader = SimplePie|MagpieRSS|FeedValidator|CastFeedValidator|rss2email|RSS-?Bot|RSSbot
Feed reader = rssfeedfetcher|FeedBurner|NetNewsWire.*sync|Feedbot|Feed Parser|feed parser
Feed reader = FeedParser|FeedFetcher|feed-fetcher|[Pp]odcast[ -]?[Ss]ync|RSS Crawler|rss-parser
Feed reader = feed reader bot
Googlebot = \bGoogle-[A-Z]|GoogleAssociationService|google-xrawler
Podcast Index = (?i)podcastindex\.org|podping|Podcastindex
Podcast service = (?i)listennotes|podchaser|rephonic|podscribe|chartable|podtrac|podnews|podscan
Podcast service = (?i)podverse.*feed|magellan|podsights|podroll|podfollow|podmon|podhound
Podcast service = (?i)podcorn|fyyd|podcloud|audioscrape|PodderBot|spotify.*cache|Podbot|castopod
Podcast service = (?i)OP3/|podlexicon|Triton Digital|Veritone|adswizz|Critical Mention
Podcast service = (?i)RadyoImporter|Transistor.*(?:fetch|import|bot)
Podcast fetcher = (?i)transcri(?:be|ption|ber)|whisper[ /-]
Podcast fetcher = (?i)podcast[ -]?(?:archiver|download|dl|grabber|fetch|analyz|pipeline|stt)
Podcast fetcher = (?i)podcast[ -]?(?:translat|index|worker)
Podcast fetcher = (?i)gpodder\.net|castget|podget|poddl|(?:rss|feed|podcast|episode)[ -]?import
Website = WordPress|Drupal|Joomla|TYPO3|Moodle|Ghost/|wsrv\.nl|Vercel|Netlify
Automation = Zapier|IFTTT|n8n|Make/production|Integromat|Pipedream|HubSpot|Automattic
Checker = (?i)w3c[_-]|validator|link[ _-]?check|lychee|linkcheck|Dead ?Link|LinkWalker|xenu
Advertising crawler = (?i)proximic|GrapeshotCrawler|weborama|comscore|DoubleVerify
Advertising crawler = (?i)ias[-_]crawler|admantx|peer39|TheTradeDesk|Criteo|outbrain|taboola
Search engine = (?i)mail\.ru_bot|coccocbot|yeti/|daum/|exabot|qwantify|qwantbot|mojeek|YaCy
Search engine = (?i)neeva|gigabot|yisou|sosospider|360spider|HaosouSpider|ToutiaoSpider
Search engine = (?i)swisscows|marginalia|kagibot
Torrent client = BitTorrent|Transmission/|uTorrent|qBittorrent|libtorrent|FlexGet
"""
)

# Does what a program says, and tells no more of itself than what it was built with.
LIBRARIES: Entries = entries(
    r"""
curl = ^curl/|^libcurl|^PycURL|\bcurl/\d
Wget = ^Wget|\bWget/
python-requests = python-requests
urllib = (?i)^python-urllib|^urllib3|python-urllib3
httpx = python-httpx|^httpx
aiohttp = aiohttp/
Python = (?i)^(?:c?python|pypy)[/ ]|^tornado|^pip/|^httplib2|Python-httplib2|^treq|^niquests
Scrapy = ^Scrapy|scrapy\.org|^colly|gocolly
Go = Go-http-client|^Go \d|^fasthttp|^go-resty|^req/v
okhttp = ^okhttp|^OkDownload|^Dart/|^Ktor|^ktor|^Retrofit
Java = (?i)^java/|^java-http-client|^apache-httpc|^apache-httpasync|^jakarta|^jersey|^AHC/
Java = (?i)^async-?http-?client|^unirest|^reactornetty|^vert\.x|^spring|^RestTemplate
Java = (?i)^Apache CXF|HttpClient/.*\(Java|^HttpURLConnection|^feign|^akka-http|^scalaj
Java = (?i)^clj-http|^netty
Node.js = ^axios/|^node|^got[ /(]|^undici|^superagent|^Bun/|^Deno/|^needle/|^request\.js|^bent
Node.js = ^ky/|^node-superagent|^make-fetch|^phin
Perl = (?i)^libwww-perl|^lwp|\bperl\b|^HTTP-Tiny|^Mojolicious|WWW-Mechanize
Ruby = ^Ruby|^Faraday|^rest-client|^Typhoeus|^HTTPClient/|^http\.rb|^Down/|^CarrierWave
Ruby = ^HTTParty|^Mechanize|Ruby Mechanize|^excon|^Net::HTTP
PHP = (?i)^php|^guzzle|GuzzleHttp|^symfony|^zend|^pear|^Laravel|^Buzz/|^Snoopy|^Requests/
PHP = (?i)^ReactPHP
Rust = ^reqwest|^hyper/|^ureq|^isahc|^surf/|^rust[-/]
Elixir = (?i)^hackney|^mint/|^elixir|^req/\d|^tesla$|^finch|^erlang|^httpoison|^ibrowse
.NET = (?i)powershell|^\.net|^RestSharp|^System\.Net|^Microsoft\.|^HttpClient$|^dotnet|^WinHTTP
.NET = (?i)^Microsoft-WinHttp|^WinInet|^Microsoft URL Control|^AutoHotkey|^Microsoft BITS|^Flurl
FFmpeg = (?i)^lavf|^libavformat|^ffmpeg|^ffprobe|^mpg123|^sox
API client = ^Postman|^PostmanRuntime|^insomnia|^HTTPie|^Paw/|^Bruno|^bruno-runtime|^RapidAPI
API client = ^hoppscotch|^vscode-restclient|^Thunder Client|^IntelliJ HTTP|^xh/
Downloader = (?i)^aria2|^axel|^lftp|^git/|^git-annex|^rclone|^yt-dlp|^youtube-dl|^libsoup|^neon/
Downloader = (?i)^gvfs|^FDM|^JDownloader|^GetRight|^LinuxGetUrl|^uGet
Load test = (?i)^apachebench|^ab/|^wrk|^k6/|^hey/|^vegeta|^siege|^JMeter|^Locust|^oha/|^h2load
Load test = (?i)^gatling|^Artillery|^bombardier|^autocannon
Library = (?i)^lua-resty|^resty-requests|^luasocket|^Racket|^net/http-easy|^R \(|^libcurl/
Library = (?i)^rstudio|^RCurl|^httr|^Julia|^HTTP\.jl|^ESP32 HTTP|^ESP8266|^Arduino|^haskell
Library = (?i)^http-conduit|^cpp-httplib|^cpprestsdk|^Boost\.Beast|^POCO|^Swift/|^Alamofire
Library = (?i)^Nim httpclient|^Indy Library|Indy Library|^Delphi|^WebClient|^http_client
Library = (?i)^HTTP_Request|^fetch$|^Mozilla/5\.0 fetch
"""
)

# Nobody we know, and by its own words no person.  Phones named CUBOT are.
GENERIC: Entries = entries(
    r"""
= (?i)(?:^|[^u]|[^c]u)bots?(?:[^a-z]|$)
= [a-z]Bot[A-Z/ ]
= (?i)importer|checker|analy[sz]er|synthetic|[a-z]-worker|screenshot|webhook|image ?proxy
= (?i)downloader|preflight|\bsubscribers?[;,)]|\btester\b
= (?i)crawl|spider|scrap(?:er|ing|y|e[^a-z])|fetcher|harvest|archiver|indexer|slurp
= (?i)monitor(?:ing)?[/ ]|healthcheck|health-check|http-?check|ping(?:er|bot)
"""
)

# The same of what tries out what it finds.
PROBES: Entries = entries(
    r"""
= (?i)scan(?:ner|ning)\b|/scan\b|research-?scan
"""
)

# Says where its maker lives: so do apps, which then name the system that they are for.
MODEST: Entries = entries(
    r"""
= ^[A-Z][^/(]*[/ (].*(?:iOS|iPhone|iPad|Android \d|[Pp]odcast [Aa]pp|[Pp]odcast [Pp]layer).*https?:
= ^[A-Z][^/(]*[/ (].*https?:.*(?:iOS|iPhone|iPad|Android \d|[Pp]odcast [Aa]pp|[Pp]odcast [Pp]layer)
= \((?:compatible|[^)]*; compatible); ?(?:MSIE|Konqueror|Opera)
"""
)

ADDRESSED: Entries = entries(
    r"""
= \+https?:|\(https?:|; https?:|\+ ?www\.|\+[a-z0-9.-]+@|@[a-z0-9-]+\.[a-z]{2,6}\)
= ^Mozilla/.*\(compatible[;)]|^Mozilla/.*; compatible;
"""
)
